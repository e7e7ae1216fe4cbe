"""Training on the cached features of a frozen image encoder, against the same without the cache, and against all of it.

    benchmarks/cached_features.py steps --preset vit_b32
    benchmarks/cached_features.py captioner --preset vit_b32 --data "captions.jsonl?images=images&split=train"

``steps``: one update of a captioner (ITC and IC, 16 tokens a caption) whose image encoder is frozen up to its poolers,
from tokens and from pixels, in turns. ``captioner``: a captioner on encoders shaped like CLIP's, both frozen, on cached
features of real photos, against training all of it with the three objectives, reading of the data included. Prints the
medians, and the median ratio of neighboring turns with its 95 % bootstrap interval, as JSON.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch

from alternating import alternating_seconds, median_ratio
from sycoca.data.loading.skipping import SkipLog
from sycoca.model.config import SyCoCaConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.presets.pretrain import pretrain_preset
from sycoca.records import BatchTotals, ImageTextBatch, ImageTokens
from sycoca.training.config import DataConfig, RuntimeConfig
from sycoca.training.engine.optimization.optimizer import build_optimizer
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.update import Updater
from sycoca.training.recipes.image_text.task import ImageTextTask
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.recipes.pretraining.initial_weights_config import InitialWeightsConfig
from sycoca.training.recipes.pretraining.recipe import Pretraining
from sycoca.training.run.assembly import assemble
from sycoca.training.run.cached_features import cached_crops
from sycoca.training.run_folder import RunFolder
from sycoca.weights.config import WeightsConfig
from sycoca.weights.folder import save_weights

NUM_TOKENS = 16
BOTH_ENCODERS = ("image_encoder", "text_encoder", "log_logit_scale")

Step = Callable[[], object]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("steps", "captioner"))
    parser.add_argument("--preset", default="vit_b32", help="whose sizes the models have")
    parser.add_argument("--batch", type=int, default=16, help="pairs per step")
    parser.add_argument("--turns", type=int, default=7, help="pairs of turns")
    parser.add_argument("--steps", type=int, default=2, help="steps per turn")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--data", help="photos with captions, for captioner")
    parser.add_argument("--photos", type=int, default=256, help="photos of them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ways = _step_ways(options) if options.what == "steps" else _captioner_ways(options, Path(folder))
        with ways as (cached, other):
            turns = {"cached": _repeated(cached, options.steps), "other": _repeated(other, options.steps)}
            seconds = alternating_seconds(turns, options.turns)
    print(json.dumps({**vars(options), "threads": torch.get_num_threads(), **_summary(seconds, options)}, indent=2))


@contextmanager
def _step_ways(options: argparse.Namespace) -> Iterator[tuple[Step, Step]]:
    config = pretrain_preset(options.preset)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SyCoCa(replace(config.model, image_decoder=None))
    for tensor in model.image_encoder.trunk().values():
        tensor.requires_grad_(False)
    with Runtime(RuntimeConfig(device="cpu", precision=options.precision)) as runtime:
        task = ImageTextTask(
            model, masking=config.masking, objectives=ObjectivesConfig(masked_image_weight=0.0), drop_path=None
        )
        updater = Updater(runtime, task, build_optimizer(model, config.optimizer), clip_norm=1.0)
        pixels = _batch(model.config, options.batch)
        with torch.no_grad(), runtime.autocast():
            cls_tokens, patch_tokens = model.image_encoder(pixels.images)
        tokens = replace(pixels, images=ImageTokens(cls_tokens=cls_tokens, patch_tokens=patch_tokens))
        yield tuple(lambda batch=batch: updater.update([batch], lr=0.0) for batch in (tokens, pixels))  # pyright: ignore


def _batch(config: SyCoCaConfig, size: int) -> ImageTextBatch:
    generator = torch.Generator().manual_seed(0)
    side = config.image_encoder.image_size
    shape = size, NUM_TOKENS
    return ImageTextBatch(
        images=torch.randn(size, 3, side, side, generator=generator),
        tokens=torch.randint(3, config.text_encoder.vocab_size, shape, generator=generator),
        is_padding=torch.zeros(shape, dtype=torch.bool),
        draw_keys=torch.arange(size),
        totals=BatchTotals(num_samples=size, num_labels=size * (NUM_TOKENS - 1)),
        num_tokens=size * NUM_TOKENS,
    )


@contextmanager
def _captioner_ways(options: argparse.Namespace, folder: Path) -> Iterator[tuple[Step, Step]]:
    preset = pretrain_preset(options.preset)
    _save_clip(preset, folder / "clip")
    everything = replace(
        preset,
        out=str(folder / "all"),
        data=DataConfig(train=f"{options.data}&limit={options.photos}", cache_folder=str(folder / "cache")),
        start=InitialWeightsConfig(weights=str(folder / "clip")),
        training=replace(preset.training, global_batch_size=options.batch),
        runtime=RuntimeConfig(device="cpu", precision=options.precision),
    )
    captioner = replace(
        everything,
        out=str(folder / "captioner"),
        data=replace(everything.data, cached_views=1),
        start=replace(everything.start, frozen=BOTH_ENCODERS),
        objectives=ObjectivesConfig(contrastive_weight=0.0, masked_image_weight=0.0),
    )
    with _training(captioner) as cached, _training(everything) as all_of_it:
        yield cached, all_of_it


def _save_clip(preset: PretrainConfig, folder: Path) -> None:
    """Write random weights with the preset's encoder sizes, shaped like CLIP's: no poolers, texts pooled at eos."""
    image = replace(preset.model.image_encoder, pooling="cls", activation="quick_gelu")
    tokenizer = Tokenizer.clip(pad="zero")
    text = replace(
        preset.model.text_encoder,
        vocab_size=tokenizer.vocab_size,
        context_length=77,
        pooling="eos",
        activation="quick_gelu",
    )
    model = replace(preset.model, image_encoder=image, text_encoder=text, text_decoder=None, image_decoder=None)
    config = WeightsConfig(model=model, masking=preset.masking, transforms=preset.transforms, normalizes_patches=True)
    save_weights(folder, SyCoCa(model), tokenizer, config)


@contextmanager
def _training(config: PretrainConfig) -> Iterator[Step]:
    folder = Path(config.out)
    folder.mkdir()
    recipe = Pretraining.for_new_run(config)
    source = recipe.open_sources().train
    with Runtime(recipe.config.runtime) as runtime:
        trained = recipe.build(source, RunFolder(folder), runtime)
        parts = assemble(recipe.config, source, trained, runtime, SkipLog(source, 0.2))
        parts.batches.cached = cached_crops(recipe.config, parts, None)
        batches = parts.batches.from_position(0)
        yield lambda: parts.updater.update(next(batches), lr=1e-6).gradient_norm.item()


def _repeated(step: Step, times: int) -> Step:
    return lambda: [step() for _ in range(times)]


def _summary(seconds: Mapping[str, Sequence[float]], options: argparse.Namespace) -> dict[str, object]:
    ratio = median_ratio(seconds["cached"], seconds["other"])
    images = options.batch * options.steps
    return {
        "cached_images_per_second": round(images / statistics.median(seconds["cached"]), 2),
        "other_images_per_second": round(images / statistics.median(seconds["other"]), 2),
        "cached_over_other": asdict(ratio),
        "times_as_fast": round(1 / ratio.median, 2),
    }


if __name__ == "__main__":
    main()
