"""Runs of two processes, started as torchrun starts them, and what became of each."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.model.decoder_configs import ImageDecoderConfig, TextDecoderConfig
from sycoca.records import BatchTotals, ImageTextBatch, MoreCaptions

MODEL = SyCoCaConfig(
    image_encoder=ImageEncoderConfig(image_size=16, patch_size=4, width=16, depth=2, num_heads=2),
    text_encoder=TextEncoderConfig(vocab_size=300, context_length=24, width=16, depth=2, num_heads=2),
    text_decoder=TextDecoderConfig(depth=2, num_heads=2),
    image_decoder=ImageDecoderConfig(width=16, depth=2, num_heads=2),
    embed_dim=8,
)

RUN = [
    *("pretrain", "tiny", "--data.train", "scenes:?count=32&size=16", "--data.validation", "None"),
    *("--data.num-workers", "0", "--training.global-batch-size", "4", "--runtime.device", "cpu"),
    *("--training.log-every", "1", "--training.save-every", "5", "--training.no-report", "--training.no-tensorboard"),
]
"""A small run that saves often; add --out and --training.steps."""

_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def free_port() -> int:
    """Return a port that no program listens on."""
    return free_ports(1)[0]


def free_ports(number: int) -> list[int]:
    """Return so many ports that no program listens on."""
    with ExitStack() as probes:
        found = []
        for _ in range(number):
            probe = probes.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            found.append(probe.getsockname()[1])
        return found


class Rank:
    """One process of a run."""

    def __init__(self, rank: int, port: int, words: list[str], first: str = "", num_processes: int = 2) -> None:
        """``first``: statements that the process executes before the command."""
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": num_processes}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        program = f"import sys\n{first}\nfrom sycoca.cli.main import main\nsys.exit(main(sys.argv[1:]))"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *words],
            env={**_ENVIRONMENT, **{name: str(value) for name, value in place.items()}},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self, seconds: float) -> tuple[int, list[str], float]:
        """Wait for the end; return the exit code, the lines of stderr without those of steps, and the seconds."""
        started_at = time.monotonic()
        _, error = self.process.communicate(timeout=seconds)
        lines = [line for line in error.splitlines() if not line.startswith("step ")]
        return self.process.returncode, lines, time.monotonic() - started_at


@contextmanager
def two_processes(words: list[str], first: tuple[str, str] = ("", "")) -> Iterator[tuple[Rank, Rank]]:
    """Start two processes of one run; whatever is left of them at the end is killed."""
    port = free_port()
    ranks = Rank(0, port, words, first[0]), Rank(1, port, words, first[1])
    try:
        yield ranks
    finally:
        for rank in ranks:
            rank.process.kill()
            rank.process.communicate()


def wait_for_steps(run: Path, num_steps: int, process: "subprocess.Popen[str]", seconds: float = 120) -> None:
    """Wait until a run has logged so many steps."""
    deadline = time.monotonic() + seconds
    metrics = run / "metrics.jsonl"
    while not metrics.exists() or len(metrics.read_bytes().splitlines()) < num_steps:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def batch_of(num_samples: int) -> ImageTextBatch:
    """Return up to eight pairs in float64, of which two are copies."""
    generator = torch.Generator().manual_seed(5)
    lengths = torch.tensor([7, 4, 9, 5, 6, 8, 3, 9])[:num_samples]
    positions = torch.arange(9)
    is_padding = positions >= lengths.unsqueeze(1)
    sample_keys = torch.arange(16).reshape(8, 2)
    sample_keys[6] = sample_keys[1]  # copies on different ranks
    return ImageTextBatch(
        images=torch.randn(num_samples, 3, 16, 16, generator=generator, dtype=torch.float64),
        tokens=torch.randint(3, 300, (num_samples, 9), generator=generator).masked_fill(is_padding, 0),
        is_padding=is_padding,
        draw_keys=torch.arange(num_samples) + 77,
        totals=BatchTotals(num_samples=num_samples, num_labels=int(lengths.sum()) - num_samples),
        sample_keys=sample_keys[:num_samples],
    )


def with_more_captions(batch: ImageTextBatch) -> ImageTextBatch:
    """Return a batch with up to two further captions of each image, some longer than all first ones."""
    counts = torch.tensor([2, 0, 1, 2, 1, 2, 0, 1])[: len(batch.tokens)]
    generator = torch.Generator().manual_seed(7)
    lengths = torch.tensor([11, 4, 3, 5, 8, 6, 7, 3, 10])[: int(counts.sum())]
    is_padding = torch.arange(11) >= lengths[:, None]
    return replace(
        batch,
        sample_keys=torch.arange(2 * len(counts)).reshape(-1, 2) if batch.sample_keys is None else batch.sample_keys,
        more_captions=MoreCaptions(
            tokens=torch.randint(3, 30, is_padding.shape, generator=generator).masked_fill(is_padding, 0),
            is_padding=is_padding,
            is_caption=torch.arange(2) < counts[:, None],
            caption_keys=torch.arange(2 * len(counts)).reshape(-1, 2) + 50,
            num_tokens=int(lengths.sum()),
        ),
    )


def rows_of(batch: ImageTextBatch, rows: slice) -> ImageTextBatch:
    """Return some pairs of a batch, whose totals stay those of the whole."""
    return replace(
        batch,
        images=batch.images[rows],
        tokens=batch.tokens[rows],
        is_padding=batch.is_padding[rows],
        draw_keys=batch.draw_keys[rows],
        sample_keys=None if batch.sample_keys is None else batch.sample_keys[rows],
        more_captions=None if batch.more_captions is None else _more_of(batch.more_captions, rows),
    )


def _more_of(more: MoreCaptions, rows: slice) -> MoreCaptions:
    first = int(more.is_caption[: rows.start or 0].sum())
    own = slice(first, first + int(more.is_caption[rows].sum()))
    return MoreCaptions(
        tokens=more.tokens[own],
        is_padding=more.is_padding[own],
        is_caption=more.is_caption[rows],
        caption_keys=None if more.caption_keys is None else more.caption_keys[rows],
        num_tokens=int((~more.is_padding[own]).sum()),
    )
