"""Training steps with all objectives on a GPU: time, utilization, memory, and how often the host waits for the GPU.

    python benchmarks/gpu_step.py --preset vit_b16 --batch-size 128
    python benchmarks/gpu_step.py --device cpu --preset tiny --batch-size 8      # as far as a CPU allows

Prints JSON. ``model_flops_utilization`` is the rate of the operations counted in a step (a multiply-add as 2) over that
of a product of large matrices, measured in turn with the steps, or over ``--peak-tflops``. ``not_measured`` says what
the device does not allow. ``--open-clip`` adds open_clip's CoCa with two objectives; the environment of
``make versus-open-clip`` has it.
"""

import argparse
import json
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from sycoca.experiments.benchmark.machine import describe_machine, matrix_row, peak_bytes, used_bytes
from sycoca.experiments.benchmark.settings import PEAK_ROWS, BenchmarkPrecision
from sycoca.experiments.benchmark.timing import BenchmarkRow, measure
from sycoca.inference.load import choose_device
from sycoca.model.sycoca import SyCoCa
from sycoca.presets.pretrain import pretrain_preset
from sycoca.records import BatchTotals, ImageTextBatch
from sycoca.training.engine.optimization.optimizer import build_optimizer
from sycoca.training.engine.optimization.weight_average import WeightAverage
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.update import Updater
from sycoca.training.recipes.image_text.task import ImageTextTask
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.runtime_config import RuntimeConfig

FUSED_ATTENTION = ("flash", "fmha", "cutlassF", "cudnn")
"""Substrings of the names of fused kernels, which do not materialize the attention matrix."""

ONLY_CUDA = {
    "host_synchronizations": "only CUDA says when the host waits for the device",
    "peak_bytes": "on a CPU the process keeps what it has freed; sycoca pretrain --dry-run measures it",
    "fused_attention_kernels": "the names of kernels are those of CUDA",
}
"""What is measured on GPUs of NVIDIA alone, and why."""

Step = Callable[[], object]


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print the results; exit with one line where the device or the preset is not there."""
    try:
        plain = report(_options(words))
    except ValueError as error:
        raise SystemExit(str(error)) from error
    sys.stdout.write(json.dumps(plain, indent=2) + "\n")


def report(options: argparse.Namespace) -> dict[str, Any]:
    """Return the results as plain data; raises ValueError for a device that is not there."""
    device = choose_device(options.device)
    precision: BenchmarkPrecision = "bf16" if options.precision == "bf16" or device.type == "cuda" else "fp32"
    config = pretrain_preset(options.preset)
    batch = make_batch(config, options.batch_size)
    steps = {"eager": our_step(config, batch, device, precision, compiled=False)}
    if options.compiled:
        steps["compiled"] = our_step(config, batch, device, precision, compiled=True)
    if options.open_clip:
        steps["open_clip"] = their_step(batch, device)
    rows = [
        BenchmarkRow(name=name, call=step, items=options.batch_size, unit="pairs", precision=precision)
        for name, step in steps.items()
    ]
    results = measure([matrix_row(precision, device), *rows], runs=options.runs, device=device)
    measured_peak = results.pop(PEAK_ROWS[precision]).gflop_per_second
    peak: float = 1e3 * options.peak_tflops if options.peak_tflops else measured_peak or math.inf
    return {
        "machine": describe_machine(device),
        "settings": {"preset": options.preset, "batch_size": options.batch_size, "precision": precision},
        "peak_gflop_per_second": peak,
        "steps": {
            name: {
                **asdict(result),
                "pairs_per_second": result.items_per_second,
                "model_flops_utilization": (result.gflop_per_second or 0) / peak,
                "peak_bytes": _peak_of(steps[name], device),
                "host_synchronizations": count_synchronizations(steps[name], device),
                "fused_attention_kernels": _fused_attention_kernels(steps[name], device),
            }
            for name, result in results.items()
        },
        "not_measured": {} if device.type == "cuda" else ONLY_CUDA,
    }


def our_step(
    config: PretrainConfig,
    batch: ImageTextBatch,
    device: torch.device,
    precision: BenchmarkPrecision,
    *,
    compiled: bool,
) -> Step:
    """Return a step as training makes it: copies, forward, backward, clipping, AdamW, average, gathered results."""
    torch.manual_seed(0)
    runtime = Runtime(RuntimeConfig(device=str(device), precision=precision, compile=compiled))
    model = SyCoCa(config.model).to(device).train()
    task = ImageTextTask(model, masking=config.masking, objectives=config.objectives, drop_path=config.drop_path)
    updater = Updater(runtime, task, build_optimizer(model, config.optimizer), clip_norm=1.0)
    average = WeightAverage(model, 0.999)

    def step() -> None:
        result = updater.update([batch], lr=1e-6)
        average.update(1, result.gradient_norm)
        runtime.gather_numbers([result.gradient_norm, 0.0, result.loss, *result.terms.values()])

    return step


def their_step(batch: ImageTextBatch, device: torch.device) -> Step:
    """Return a step of open_clip's CoCa ViT-B/16, with its two objectives, in bf16 where the device is a GPU."""
    from open_clip_side import decaying_groups, open_clip

    config = open_clip.get_model_config("coca_ViT-B-32")
    config.pop("custom_text", None)  # tells its factory which class to build
    config["vision_cfg"] |= {"patch_size": 16}
    model = open_clip.CoCa(**config).to(device).train()
    loss = open_clip.CoCaLoss(caption_loss_weight=2.0, clip_loss_weight=1.0)
    optimizer = torch.optim.AdamW(decaying_groups(model), lr=1e-6, betas=(0.9, 0.98), eps=1e-6)
    images = batch.images.to(device)
    tokens = nn.functional.pad(batch.tokens, (0, 76 - batch.tokens.shape[1])).to(device)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            losses = loss(**model(images, tokens), output_dict=True)
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def make_batch(config: PretrainConfig, batch_size: int) -> ImageTextBatch:
    """Return random images with captions of 5 to 28 tokens, as long as captions of the web, on the CPU."""
    generator = torch.Generator().manual_seed(0)
    side, text = config.model.image_encoder.image_size, config.model.text_encoder
    longest = min(29, text.context_length)
    lengths = torch.randint(5, longest, (batch_size,), generator=generator)
    is_padding = torch.arange(int(lengths.max())) >= lengths[:, None]
    tokens = torch.randint(3, text.vocab_size, is_padding.shape, generator=generator).masked_fill(is_padding, 0)
    num_tokens = int(lengths.sum())
    return ImageTextBatch(
        images=torch.randn(batch_size, 3, side, side, generator=generator),
        tokens=tokens,
        is_padding=is_padding,
        draw_keys=torch.arange(batch_size),
        totals=BatchTotals(num_samples=batch_size, num_labels=num_tokens - batch_size),
        sample_keys=torch.arange(2 * batch_size).view(batch_size, 2),
        num_tokens=num_tokens,
    )


def count_synchronizations(step: Step, device: torch.device) -> list[str] | None:
    """Return where in a step the host waited for the GPU, a line each; None where the device cannot say it."""
    if device.type != "cuda":
        return None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return [f"{one.filename}:{one.lineno}" for one in caught if "synchronizing" in str(one.message)]


def _peak_of(step: Step, device: torch.device) -> int | None:
    """Return the peak memory of a step above what is allocated between steps."""
    if device.type != "cuda":
        return None
    before, peak = used_bytes(device), peak_bytes(step, device)
    assert before is not None
    assert peak is not None
    return peak - before


def _fused_attention_kernels(step: Step, device: torch.device) -> list[str] | None:
    if device.type != "cuda":
        return None
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        step()
    names = {event.key for event in profiled.key_averages()}
    return sorted(name for name in names if any(part in name for part in FUSED_ATTENTION))


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto (a GPU where there is one), cuda, cuda:1, cpu")
    parser.add_argument("--preset", default="vit_b16")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--precision", choices=("auto", "bf16"), default="auto", help="auto: bf16 on a GPU, else fp32")
    parser.add_argument("--peak-tflops", type=float, help="peak of the device as its maker states it")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--compiled", action="store_true", help="a compiled step, too")
    parser.add_argument("--open-clip", action="store_true", help="a step of open_clip's CoCa, too")
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
