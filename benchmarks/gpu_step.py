"""Training steps on a GPU in bfloat16: SyCoCa with all three objectives beside open_clip's CoCa with its two.

ViT-B/16 at 224 pixels, eager and compiled, interleaved: fraction of the GPU's measured matrix rate, pairs per second,
memory, and the attention kernels that ran. Prints JSON. ``--device cpu --depth 1 --batch-size 2`` tests the script.
"""

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from open_clip_side import decaying_groups, open_clip
from sycoca.experiments.benchmark.machine import describe_machine, matrix_row
from sycoca.experiments.benchmark.settings import PEAK_ROWS
from sycoca.experiments.benchmark.timing import BenchmarkRow, measure
from sycoca.model.config import SyCoCaConfig
from sycoca.training.config import OptimizerConfig, RuntimeConfig
from sycoca.training.engine.optimization.optimizer import build_optimizer
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.update import Updater
from sycoca_side import SYCOCA, clip_batch, pretraining_task

FUSED_ATTENTION = ("flash", "fmha", "cutlassF", "cudnn")
"""Substrings of the names of fused kernels, which do not materialize the attention matrix."""

TOKENS = 32
"""Padded caption length on both sides; on average half of it is padding, as with web captions."""


def main() -> None:
    """Measure and print the results; exit with an error where there is no GPU."""
    options = _options()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("PyTorch finds no CUDA GPU here: nothing was measured")
    device = torch.device(options.device)
    images, tokens = _inputs(options.batch_size, device)
    steps = {
        f"{name}{'_compiled' if compiled else ''}": make(images, tokens, options.depth, compiled)
        for name, make in (("sycoca", _our_step), ("open_clip", _their_step))
        for compiled in ((False, True) if options.compiled else (False,))
    }
    memory = {name: _peak_bytes(step, device) for name, step in steps.items()}
    rows = [
        BenchmarkRow(name=name, call=step, items=options.batch_size, unit="pairs", precision="bf16")
        for name, step in steps.items()
    ]
    results = measure([matrix_row("bf16", device), *rows], runs=options.runs, device=device)
    peak = results[PEAK_ROWS["bf16"]].gflop_per_second
    report = {
        "machine": describe_machine(device),
        "rows": {
            name: {
                **asdict(result),
                "per_second": result.items_per_second,
                "share_of_peak": (result.gflop_per_second or 0) / (peak or math.inf),
                "peak_bytes": memory.get(name),
            }
            for name, result in results.items()
        },
        "fused_attention_kernels": {name: _fused_attention_kernels(step, device) for name, step in steps.items()},
    }
    print(json.dumps(report, indent=2))


def _our_step(images: Tensor, tokens: Tensor, depth: int, compiled: bool) -> Callable[[], object]:
    task, batch = pretraining_task(_sized(SYCOCA, depth)), clip_batch(images.cpu(), tokens.cpu())
    runtime = Runtime(RuntimeConfig(device=str(images.device), precision="bf16", compile=compiled))
    updater = Updater(runtime, task.to(images.device), build_optimizer(task.model, OptimizerConfig()), clip_norm=1.0)
    batch = runtime.to_device(batch)
    return lambda: updater.update([batch], lr=1e-6)


def _their_step(images: Tensor, tokens: Tensor, depth: int, compiled: bool) -> Callable[[], object]:
    config = open_clip.get_model_config("coca_ViT-B-32")
    config.pop("custom_text", None)  # tells its factory which class to build
    config["vision_cfg"] |= {"patch_size": 16, "layers": depth}
    config["text_cfg"] |= {"layers": depth}
    config["multimodal_cfg"] |= {"layers": depth}
    model = open_clip.CoCa(**config).to(images.device).train()
    run = torch.compile(model) if compiled else model
    loss = open_clip.CoCaLoss(caption_loss_weight=2.0, clip_loss_weight=1.0)
    optimizer = torch.optim.AdamW(decaying_groups(model), lr=1e-6, betas=(0.9, 0.98), eps=1e-6)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(images.device.type, dtype=torch.bfloat16):
            losses = loss(**run(images, tokens), output_dict=True)
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def _sized(config: SyCoCaConfig, depth: int) -> SyCoCaConfig:
    return replace(
        config,
        image_encoder=replace(config.image_encoder, patch_size=16, depth=depth),
        text_encoder=replace(config.text_encoder, depth=depth),
        text_decoder=replace(config.text_decoder, depth=depth),
    )


def _inputs(batch_size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch_size, 3, 224, 224, generator=generator)
    lengths = torch.randint(5, TOKENS - 4, (batch_size, 1), generator=generator)
    positions = torch.arange(76)
    tokens = torch.randint(1, 49406, (batch_size, 76), generator=generator)
    tokens = tokens.where(positions < lengths, 0).where(positions != 0, 49406).where(positions != lengths, 49407)
    return images.to(device), tokens.to(device)


def _peak_bytes(step: Callable[[], object], device: torch.device) -> int | None:
    """Return the peak memory of a step above what is allocated between steps."""
    step()
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    return torch.cuda.max_memory_allocated(device) - before


def _fused_attention_kernels(step: Callable[[], object], device: torch.device) -> list[str]:
    activities = [ProfilerActivity.CUDA] if device.type == "cuda" else [ProfilerActivity.CPU]
    with profile(activities=activities) as profiled:
        step()
    names = {event.key for event in profiled.key_averages()}
    return sorted(name for name in names if any(part in name for part in FUSED_ATTENTION))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--depth", type=int, default=12, help="layers of encoders and text decoder")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--compiled", action=argparse.BooleanOptionalAction, default=True, help="compiled steps too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
