"""From a config to the parts of a run: tokenizer, model, task, optimizer, batches."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from sycoca.data.loader import TrainingBatches
from sycoca.data.samples import SampleSource
from sycoca.data.skipping import SkipLog
from sycoca.data.spec import open_source
from sycoca.data.statistics import all_captions
from sycoca.model.config import SyCoCaConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.contrastive import Ranks
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.randomness import derive_key
from sycoca.training.config import PretrainConfig, resolved_model_config
from sycoca.training.optimizer import build_optimizer
from sycoca.training.pairs import Pair, as_source
from sycoca.training.runtime import Runtime
from sycoca.training.tasks import PretrainingTask
from sycoca.training.update import Updater
from sycoca.weights.config import WeightsConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class RunParts:
    """What is trained, on what, by what."""

    source: SampleSource
    """Training samples."""

    tokenizer: Tokenizer
    """Trained on their captions."""

    model: SyCoCa
    """On its device, freshly initialized from the seed."""

    task: PretrainingTask
    """The objectives around the model."""

    updater: Updater
    """The optimizer around the task."""

    batches: TrainingBatches
    """This process's share of every step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """The data of a run."""

    train: SampleSource
    """What is trained on."""

    validation: SampleSource | None
    """What is measured on, if anything."""


def open_sources(
    config: PretrainConfig,
    train: SampleSource | Iterable[Pair] | None = None,
    validation: SampleSource | Iterable[Pair] | None = None,
) -> Sources:
    """Open the config's data, in whose place what is given is taken; raises ValueError where it has no samples."""
    if validation is None and config.data.validation is not None:
        validation = open_source(config.data.validation)
    sources = Sources(
        train=open_source(config.data.train) if train is None else as_source(train),
        validation=None if validation is None else as_source(validation),
    )
    for source in (sources.train, sources.validation):
        if source is not None:
            _check_captions(source)
    return sources


def _check_captions(source: SampleSource) -> None:
    if len(source) == 0:
        raise ValueError(f"{source.name} has no samples; check the data's path and its ?split=")
    if not source[0].captions:
        raise ValueError(
            f"{source.name} has no captions, and pretraining needs them; name their column, as in ?caption=title"
        )


def shared_tokenizer(config: PretrainConfig, source: SampleSource, runtime: Runtime, path: Path) -> Tokenizer:
    """Return the run's tokenizer: the one at ``path``, trained first by the main process where there is none."""
    if runtime.is_main_rank and not path.exists():
        unfinished = path.with_name(f".{path.name}.partial")
        Tokenizer.train(all_captions(source), config.tokenizer).save(unfinished)
        unfinished.replace(path)
    runtime.barrier()
    return Tokenizer.load(path)


def build_model(config: SyCoCaConfig, seed: int) -> SyCoCa:
    """Build the model with initial weights that depend on the seed alone."""
    # PyTorch's initializers of layers know only the global generator: it is lent, and given back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_key(seed, "model"))
        return SyCoCa(config)


def assemble(
    config: PretrainConfig, source: SampleSource, tokenizer: Tokenizer, runtime: Runtime, skip_log: SkipLog
) -> RunParts:
    """Put the parts of a run together."""
    model = build_model(resolved_model_config(config, tokenizer.vocab_size), config.seed).to(runtime.device)
    ranks = Ranks(gather=runtime.gather, rank=runtime.rank)
    task = PretrainingTask(model, masking=config.masking, objectives=config.objectives, ranks=ranks)
    updater = Updater(
        runtime,
        task,
        build_optimizer(model, config.optimizer),
        clip_norm=config.training.gradient_clip_norm,
    )
    return RunParts(
        source=source,
        tokenizer=tokenizer,
        model=model,
        task=task,
        updater=updater,
        batches=_batches(config, source, tokenizer, runtime, skip_log),
    )


def weights_config(config: PretrainConfig, model: SyCoCa) -> WeightsConfig:
    """Return what a weights folder and a predictor need to know of the run."""
    return WeightsConfig(
        model=model.config,
        masking=config.masking,
        transforms=config.transforms,
        normalizes_patches=config.objectives.normalizes_patches,
    )


def _batches(
    config: PretrainConfig, source: SampleSource, tokenizer: Tokenizer, runtime: Runtime, skip_log: SkipLog
) -> TrainingBatches:
    return TrainingBatches(
        source,
        tokenizer,
        config.transforms,
        config.model.image_encoder.image_size,
        config.model.text_encoder.context_length,
        seed=config.seed,
        global_batch_size=config.training.global_batch_size,
        micro_batch_size=config.training.micro_batch_on(runtime.world_size),
        num_workers=config.data.num_workers,
        cache_images=config.data.cache_images,
        skip_log=skip_log,
        rank=runtime.rank,
        world_size=runtime.world_size,
    )
