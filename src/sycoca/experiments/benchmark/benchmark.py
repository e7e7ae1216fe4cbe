"""The benchmark: the machine's peak rates of matrix products and copies, and the library's speed relative to them."""

import logging

from rich.console import Console

from sycoca.experiments.benchmark.inputs import TEXTS_PER_IMAGE, check_fits, scene_batch, scene_tokenizer
from sycoca.experiments.benchmark.machine import (
    copy_row,
    describe_machine,
    matrix_row,
    peak_bytes,
    use_threads,
    used_bytes,
)
from sycoca.experiments.benchmark.result import MASKED_IMAGE_SHARE, BenchmarkResult, RowResult, Setting
from sycoca.experiments.benchmark.rows import NUM_BEAMS, BenchmarkParts, LibraryRows, caption_tokens
from sycoca.experiments.benchmark.settings import PEAK_ROWS, BenchmarkSettings
from sycoca.experiments.benchmark.timing import BenchmarkRow, measure
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.schedules import kinds_of_steps, masks_images_at
from sycoca.presets.pretrain import pretrain_preset
from sycoca.training.config import RuntimeConfig
from sycoca.training.engine.runtime import Runtime
from sycoca.training.recipes.initial_model import build_model
from sycoca.training.recipes.pretraining.config import PretrainConfig, resolved_model_config

logger = logging.getLogger(__name__)


def benchmark(settings: BenchmarkSettings, *, console: Console | None = None) -> BenchmarkResult:
    """Measure the machine first, then the library on it.

    Raises ValueError where the device does not exist, its memory is too small, or several processes were started.
    """
    config = pretrain_preset(settings.preset)
    precision = settings.facts.floating_point[-1]
    runtime_config = RuntimeConfig(device=settings.device, precision=precision, compile=settings.compile)
    with use_threads(settings.threads), Runtime(runtime_config) as runtime:
        if runtime.world_size > 1:
            raise ValueError("a benchmark measures one process; start it without torchrun")
        if settings.facts.is_quantized and runtime.device.type != "cpu":
            raise ValueError(
                f"{settings.precision} runs on CPUs alone, the device is {runtime.device}; add --device cpu"
            )
        check_fits(config, settings.batch_size, runtime.device)
        logger.info(f"building preset {settings.preset} on {runtime.device}")
        parts = _build(settings, config, runtime)
        memory: dict[str, int | None] = {"model_built_bytes": used_bytes(runtime.device), "train_all_peak_bytes": None}
        library = LibraryRows(parts)
        if "train_all" in settings.chosen_rows:
            logger.info("measuring the memory of an update")
            memory["train_all_peak_bytes"] = _update_bytes(library, runtime)
        rows = [_row(name, library, runtime) for name in settings.chosen_rows]
        results = measure(rows, runs=settings.runs, device=runtime.device, console=console)
        return BenchmarkResult(
            machine=describe_machine(runtime.device),
            settings=_described(settings, config, parts.model),
            rows=results,
            peaks=_peaks(results),
            memory=memory,
        )


def _build(settings: BenchmarkSettings, config: PretrainConfig, runtime: Runtime) -> BenchmarkParts:
    tokenizer = scene_tokenizer(config)
    batch = runtime.to_device(scene_batch(config, tokenizer, settings.batch_size))
    # With the preset's vocabulary size, since the scenes' small vocabulary would make the vocabulary head too cheap.
    sizes = resolved_model_config(config, config.model.text_encoder.vocab_size)
    model = build_model(sizes, config.seed).to(runtime.device)
    return BenchmarkParts(
        settings=settings, config=config, runtime=runtime, tokenizer=tokenizer, model=model, batch=batch
    )


def _update_bytes(library: LibraryRows, runtime: Runtime) -> int | None:
    """Return the peak memory of an update, after a first one that allocates optimizer state and compiles.

    Must be called before other rows: memory that they freed stays with the process and would be counted.
    """
    update = library.row("train_all").call
    update()
    return peak_bytes(update, runtime.device)


def _row(name: str, library: LibraryRows, runtime: Runtime) -> BenchmarkRow:
    for precision, peak_row in PEAK_ROWS.items():
        if name == peak_row:
            return matrix_row(precision, runtime.device)
    return copy_row(runtime.device) if name == "copy_rate" else library.row(name)


def _peaks(rows: dict[str, RowResult]) -> dict[str, float]:
    """Return the rates of the fastest runs, in GFLOP/s."""
    measured = {precision: rows[name] for precision, name in PEAK_ROWS.items() if name in rows}
    return {precision: row.gflop / row.seconds_min for precision, row in measured.items() if row.gflop is not None}


def _masked_image_share(config: PretrainConfig) -> float:
    """Return the fraction of the preset's training steps that have TG-MIM."""
    kinds = kinds_of_steps(config.masking, config.objectives, config.training.steps)
    return sum(kind.share for kind in kinds if masks_images_at(config.objectives, kind.example))


def _described(settings: BenchmarkSettings, config: PretrainConfig, model: SyCoCa) -> dict[str, Setting]:
    return {
        "preset": settings.preset,
        "parameters": model.num_parameters,
        "image_size": config.model.image_encoder.image_size,
        "batch_size": settings.batch_size,
        "captions_per_image": config.objectives.captions_per_image,
        MASKED_IMAGE_SHARE: _masked_image_share(config),
        "caption_tokens": caption_tokens(config),
        "num_beams": NUM_BEAMS,
        "retrieval_images": settings.retrieval_images,
        "retrieval_texts": settings.retrieval_images * TEXTS_PER_IMAGE,
        "precision": settings.precision,
        "compile": settings.compile,
        "runs": settings.runs,
    }
