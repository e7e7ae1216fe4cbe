"""The computed tables of docs/scaling.md: data sets, cards and hours, communication, memory.

    python benchmarks/scaling.py            # prints the tables
    python benchmarks/scaling.py --count    # counts the operations of a pair again, on no device at all

Formulas are checked by tests against steps of four processes whose collectives and states are counted.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from sycoca import precision
from sycoca.experiments.benchmark.timing import counted_gflop
from sycoca.facts.optimizer_facts import OPTIMIZERS
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.presets.pretrain import pretrain_preset
from sycoca.records import BatchTotals, ImageTextBatch
from sycoca.training.recipes.image_text.task import ImageTextTask

CAPTION_TOKENS = 20
"""Assumption: tokens of a caption, [CLS] not counted."""

IMAGE_BYTES = 25_000
"""Assumption: a JPEG of 256 pixels on its shorter side."""

CAPTION_BYTES = 60
"""Assumption: a caption in the index."""

INDEX_BYTES = 24
"""A sample in the index of shards, beside its captions (data/formats/shards/index.py)."""

CARD_PEAK = 312e12
"""Bf16 operations per second of an A100, as its maker states."""

UTILIZATION = 0.4
"""Assumption: fraction of that peak which training reaches (model FLOPs utilization, MFU)."""

FP32 = 4


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A set of image-caption pairs."""

    name: str
    num_samples: int
    epochs: int


DATA_SETS = (
    DataSet(name="CC12M", num_samples=12_400_000, epochs=20),
    DataSet(name="LAION-400M", num_samples=407_000_000, epochs=32),
    DataSet(name="2 billion", num_samples=2_000_000_000, epochs=16),
)


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """What a preset's model takes, as `count` counts it."""

    preset: str
    num_parameters: int
    gflop_per_pair: float
    """Forward and backward pass with all objectives, a multiply-add as 2."""

    num_gathered: int
    """Parameters that are gathered in a step of sharded training."""


MODELS = (
    ModelSize(preset="tiny", num_parameters=2_767_361, gflop_per_pair=0.30140, num_gathered=6_733_569),
    ModelSize(preset="vit_b32", num_parameters=280_779_521, gflop_per_pair=73.13452, num_gathered=674_664_193),
    ModelSize(preset="vit_b16", num_parameters=279_853_313, gflop_per_pair=204.06621, num_gathered=676_889_857),
    ModelSize(preset="coca_base", num_parameters=498_583_501, gflop_per_pair=327.10675, num_gathered=1_065_637_837),
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A training step of several processes."""

    world_size: int
    shard_size: int
    """Processes that share one copy of the parameters: 1 with none, all with full."""

    num_parameters: int
    num_gathered: int
    """Parameters that are gathered in a step where they are sharded."""

    global_batch_size: int
    embed_dim: int
    num_terms: int = sum(weight > 0 for weight in ObjectivesConfig().weights.values())

    @property
    def contributed(self) -> dict[str, int]:
        """Bytes that a process contributes to each kind of collective; padding of shards comes on top."""
        local, parameters = self.global_batch_size // self.world_size, FP32 * self.num_parameters
        vectors = 2 * self.embed_dim * FP32  # of an image and its caption
        gathered = local * (vectors + 2 * 8) + (3 + self.num_terms) * FP32  # with two keys of 8 bytes
        reduced = self.global_batch_size * vectors + 8  # and the number of labels
        if self.shard_size == 1:
            return {"all_gather": gathered, "all_reduce": parameters + reduced}
        replicated = parameters // self.shard_size if self.shard_size < self.world_size else 0
        return {
            "all_gather": FP32 * self.num_gathered // self.shard_size + gathered,
            "reduce_scatter": parameters,
            "all_reduce": replicated + reduced,
        }

    @property
    def sent(self) -> float:
        """Bytes that a process sends with ring algorithms."""
        own, group, replicas = self.contributed, self.shard_size, self.world_size // self.shard_size
        parameters, ranks = FP32 * self.num_parameters, self.world_size
        if group == 1:
            return (ranks - 1) * own["all_gather"] + 2 * (ranks - 1) / ranks * own["all_reduce"]
        gathered_and_summed = FP32 * self.num_gathered + parameters
        of_parameters = (group - 1) / group * gathered_and_summed + 2 * (replicas - 1) / replicas * parameters / group
        vectors = self.global_batch_size * 2 * self.embed_dim * FP32
        return of_parameters + 3 * (ranks - 1) / ranks * vectors

    @property
    def state_bytes(self) -> int:
        """Bytes of weights, gradients and AdamW's state that a process keeps."""
        return OPTIMIZERS["adamw"].bytes_per_parameter * self.num_parameters // self.shard_size


def data_table() -> str:
    """Return what data sets take on disk, and in hours."""
    model = MODELS[-1]
    rows = []
    for data in DATA_SETS:
        card_hours = data.num_samples * model.gflop_per_pair * 1e9 / (CARD_PEAK * UTILIZATION) / 3600
        rows.append(
            [
                data.name,
                f"{data.num_samples / 1e6:,.1f} million",
                _bytes(data.num_samples * IMAGE_BYTES),
                _bytes(data.num_samples * INDEX_BYTES),
                _bytes(data.num_samples * CAPTION_BYTES),
                _hours(card_hours),
                f"{data.epochs}",
                *(_hours(card_hours * data.epochs / cards) for cards in (8, 64, 512)),
            ]
        )
    names = "data|samples|images|index|captions|card hours per epoch|epochs|hours, 8 cards|64|512"
    return _table(names.split("|"), rows)


def model_table() -> str:
    """Return what a pair costs, by preset."""
    rows = [
        [
            f"`{model.preset}`",
            f"{model.num_parameters / 1e6:,.1f} million",
            f"{model.gflop_per_pair:,.1f}",
            f"{CARD_PEAK * UTILIZATION / model.gflop_per_pair / 1e9:,.0f}",
            _bytes(OPTIMIZERS["adamw"].bytes_per_parameter * model.num_parameters),
        ]
        for model in MODELS
    ]
    return _table(["preset", "parameters", "GFLOP per pair", "pairs per second and card", "state"], rows)


def step_table() -> str:
    """Return what a process sends per step, and keeps, by sharding."""
    model = MODELS[-1]
    embed_dim = pretrain_preset(model.preset).model.embed_dim
    rows = []
    for sharding, world_size, shard_size in (
        ("none", 8, 1),
        ("full", 8, 8),
        ("none", 64, 1),
        ("full", 64, 64),
        ("hybrid", 64, 8),
    ):
        step = Step(
            world_size=world_size,
            shard_size=shard_size,
            num_parameters=model.num_parameters,
            num_gathered=model.num_gathered,
            global_batch_size=256 * world_size,
            embed_dim=embed_dim,
        )
        rows.append([f"{world_size}", f"`{sharding}`", _bytes(step.sent), _bytes(step.state_bytes)])
    return _table(["processes", "`runtime.sharding`", "sent per step and process", "state per process"], rows)


def between_hosts() -> str:
    """Return how many bytes a process of the last row of that table sends to other hosts."""
    model, replicas = MODELS[-1], 8
    vectors = 256 * 64 * 2 * pretrain_preset(model.preset).model.embed_dim * FP32
    return _bytes(2 * (replicas - 1) / replicas * FP32 * model.num_parameters / 8 + 3 * 63 / 64 * vectors)


def count(preset: str) -> ModelSize:
    """Count parameters, and the operations of a pair, on device ``meta``, which computes shapes alone."""
    config, meta, pairs = pretrain_preset(preset), torch.device("meta"), 2
    with meta:
        model = SyCoCa(config.model)
    task = ImageTextTask(model, masking=config.masking, objectives=config.objectives)
    side = config.model.image_encoder.image_size
    batch = ImageTextBatch(
        images=torch.zeros(pairs, 3, side, side, device=meta),
        tokens=torch.zeros(pairs, CAPTION_TOKENS, dtype=torch.int64, device=meta),
        is_padding=torch.zeros(pairs, CAPTION_TOKENS, dtype=torch.bool, device=meta),
        draw_keys=torch.arange(pairs),
        totals=BatchTotals(num_samples=pairs, num_labels=pairs * (CAPTION_TOKENS - 1)),
        num_tokens=pairs * CAPTION_TOKENS,
    )
    with _without_autocast():
        gflop = counted_gflop(lambda: task.total_loss(task(batch)).backward())
    return ModelSize(
        preset=preset,
        num_parameters=model.num_parameters,
        gflop_per_pair=gflop / pairs,
        num_gathered=gathered_parameters(model),
    )


def gathered_parameters(model: SyCoCa) -> int:
    """Return how many parameters are gathered in a step of sharded training with all objectives.

    Blocks are gathered for the forward and for the backward pass, all others once. Reconstruction encodes images again.
    """
    image_blocks = sum(one.numel() for one in model.image_encoder.blocks.parameters())
    blocks = sum(one.numel() for name, one in model.named_parameters() if "blocks." in name)
    return model.num_parameters + blocks + 2 * image_blocks


TABLES = (model_table, data_table, step_table)


class _without_autocast:
    """PyTorch has no autocast for device ``meta``."""

    def __enter__(self) -> None:
        self._autocast = precision.autocast
        precision.autocast = lambda *_, **__: nullcontext()  # pyright: ignore[reportAttributeAccessIssue]

    def __exit__(self, *_: object) -> None:
        precision.autocast = self._autocast


def _bytes(size: float) -> str:
    for unit, name in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size:,.0f} B"


def _hours(hours: float) -> str:
    return f"{hours:,.1f}" if hours < 10 else f"{hours:,.0f}"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (names, ["---"] * len(names), *rows))


def main() -> None:
    """Print the tables, or the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", action="store_true", help="count parameters and operations again")
    if parser.parse_args().count:
        for model in MODELS:
            sys.stdout.write(f"{count(model.preset)}\n")
    else:
        sys.stdout.write("\n\n".join(table() for table in TABLES) + "\n")


if __name__ == "__main__":
    main()
