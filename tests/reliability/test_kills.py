"""Runs that are killed or told to stop at random moments, and resumed: they end with the same weights and files.

Run it alone with ``pytest -s -m slow tests/reliability/test_kills.py``. SYCOCA_KILL_SEED sets the seed of the moments.
Most commands are forks of one process that has imported everything, so that they take seconds; every fourth is the real
``python -m sycoca``.
"""

import os
import random
import re
import shlex
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from builders.forked_commands import ForkedCommands, Running, killed, signalled, started
from builders.two_processes import Rank, two_processes
from sycoca.data.loading.workers import MOST_DEATHS
from sycoca.training.engine.tracking import read_metrics

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")]

SEED = int(os.environ.get("SYCOCA_KILL_SEED", "0"))
STEPS = 60
MOST_SECONDS = 10.0
"""Within which a run ends after a signal to stop."""

CONFIG = f"""
model:
  image_encoder: {{image_size: 16, patch_size: 4, width: 16, depth: 2, num_heads: 2}}
  text_encoder: {{vocab_size: 300, context_length: 24, width: 16, depth: 2, num_heads: 2}}
  text_decoder: {{depth: 2, num_heads: 2}}
  image_decoder: {{width: 16, depth: 2, num_heads: 2}}
  embed_dim: 8
tokenizer: {{vocab_size: 300}}
data: {{train: "scenes:?count=24&size=16", validation: "scenes:?count=4&size=16", num_workers: 1}}
training: {{steps: {STEPS}, global_batch_size: 4, log_every: 1, evaluate_every: 20, save_every: 5, tensorboard: false}}
runtime: {{device: cpu}}
"""

Start = Callable[[list[str], Path], Running]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def forked() -> Iterator[Start]:
    commands = ForkedCommands()
    yield commands.start
    commands.close()


def words_of(config: Path, run: Path, *more: str) -> list[str]:
    return ["pretrain", "tiny", "--config", str(config), "--out", str(run), *more]


def log_of(run: Path) -> Path:
    return run.with_suffix(".log")


@pytest.fixture(scope="module")
def undisturbed(config: Path, forked: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    started_at = time.monotonic()
    assert forked(words_of(config, run), log_of(run)).wait() == 0, log_of(run).read_text("utf-8")
    print(f"\nundisturbed: {time.monotonic() - started_at:.1f} s")
    return run


def wait_until(is_so: Callable[[], bool], running: Running) -> None:
    """Wait until something is so, or the command has ended."""
    while not is_so() and running.poll() is None:
        time.sleep(0.0002)


def unfinished(run: Path) -> set[str]:
    folder = run / "checkpoints"
    return {path.name for path in folder.glob(".step-*")} if folder.is_dir() else set()


Moment = Callable[[Path, Running], None]
"""Waits for a moment of a run."""


def at_step(number: int, delay: float) -> Moment:
    """Wait until so many steps are logged, and a moment more."""

    def wait(run: Path, running: Running) -> None:
        wait_until(lambda: steps_of(run) >= number, running)
        time.sleep(delay)

    return wait


def steps_of(run: Path) -> int:
    metrics = run / "metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.exists() else 0


def at_checkpoint(number: int, delay: float) -> Moment:
    """Wait until a checkpoint, counted from 1, is being written, and a moment more."""

    def wait(run: Path, running: Running) -> None:
        seen: set[str] = set()

        def is_there() -> bool:
            seen.update(unfinished(run))
            return len(seen) >= number

        wait_until(is_there, running)
        time.sleep(delay)

    return wait


def at_end(name: str, delay: float) -> Moment:
    """Wait until a file or folder that is written at the end is there, and a moment more."""

    def wait(run: Path, running: Running) -> None:
        wait_until(lambda: (run / name).exists(), running)
        time.sleep(delay)

    return wait


def moments() -> list[Moment]:
    generator = random.Random(SEED)
    steps = [at_step(0, delay) for delay in (0.01, 0.3, 1.0)]
    steps += [at_step(generator.randrange(STEPS), generator.uniform(0, 0.02)) for _ in range(5)]
    writing = [at_checkpoint(generator.randint(1, STEPS // 5), generator.uniform(0, 0.01)) for _ in range(8)]
    ends = [at_end(f"checkpoints/step-{STEPS:08d}", generator.uniform(0, 0.02)) for _ in range(2)]
    ends += [at_end("weights", generator.uniform(0, 0.4)) for _ in range(2)]
    return steps + writing + ends


def phase_of(run: Path) -> str:
    """Return what a run was doing when it was killed, as its folder shows."""
    steps = [path.name for path in (run / "checkpoints").glob("step-*")] if run.exists() else []
    if not (run / "config.yaml").exists():
        return "before its folder was there"
    if unfinished(run):
        return "writing a checkpoint"
    if f"step-{STEPS:08d}" in steps:
        return "writing the report" if (run / "weights").exists() else "writing the weights"
    return "between checkpoints" if steps else "before the first checkpoint"


def resume(start: Start, config: Path, run: Path) -> None:
    """Resume a run, or start it again where it was killed before its folder was there."""
    has_begun = (run / "config.yaml").exists()
    words = ["pretrain", "--resume", str(run)] if has_begun else words_of(config, run)
    assert start(words, log_of(run)).wait() == 0, log_of(run).read_text("utf-8")


def assert_same(run: Path, expected: Path) -> None:
    """Check that a run ended as another one: weights, losses and files."""
    ours, theirs = (load_file(one / "weights" / "model.safetensors") for one in (run, expected))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert numbers_of(run) == numbers_of(expected)
    assert files_of(run) == files_of(expected)


def numbers_of(run: Path) -> list[dict[str, object]]:
    return [
        {name: value for name, value in line.items() if name != "images_per_second"}
        for line in read_metrics(run / "metrics.jsonl")
    ]


def files_of(run: Path) -> set[str]:
    """Return all files and folders below a run, hidden ones too: nothing unfinished, damaged or set aside."""
    return {str(path.relative_to(run)) for path in run.rglob("*")}


def processes_of(run: Path) -> list[str]:
    """Return the processes that have a run's folder on their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes()
        except OSError:
            continue
        if str(run).encode() in words:
            found.append(process.parent.name)
    return found


def test_kill_at_twenty_moments(config: Path, forked: Start, undisturbed: Path, tmp_path: Path):
    phases: Counter[str] = Counter()
    for number, moment in enumerate(moments()):
        run = tmp_path / f"run-{number}"
        start = started if number % 4 == 0 else forked
        phase = kill_at(moment, start, run, config)
        phases[phase] += 1
        started_at = time.monotonic()
        resume(start, config, run)
        print(f"kill {number}: {phase}; resumed in {time.monotonic() - started_at:.1f} s")
        assert_same(run, undisturbed)
    print(", ".join(f"{count} {phase}" for phase, count in phases.most_common()))
    assert phases["writing a checkpoint"] >= 4
    assert phases["writing the weights"] + phases["writing the report"] >= 2


def kill_at(moment: Moment, start: Start, run: Path, config: Path) -> str:
    """Start a run and kill it at a moment; return what it was doing."""
    running = start(words_of(config, run), log_of(run))
    moment(run, running)
    assert killed(running), "the run had ended already"
    deadline = time.monotonic() + 3
    while processes_of(run):
        assert time.monotonic() < deadline, "workers have outlived the killed process"
    return phase_of(run)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_at_five_moments(
    config: Path, forked: Start, undisturbed: Path, tmp_path: Path, number: signal.Signals, code: int
):
    generator = random.Random(f"{SEED} {number}")
    picked = [at_step(number, generator.uniform(0, 0.02)) for number in generator.sample(range(STEPS * 3 // 4), 3)]
    picked += [at_checkpoint(generator.randint(2, 9), generator.uniform(0, 0.01)) for _ in range(2)]
    for index, moment in enumerate(picked):
        run = tmp_path / f"run-{index}"
        start = started if index == 4 else forked
        running = start(words_of(config, run), log_of(run))
        moment(run, running)
        seconds = signalled(running, number)
        print(f"{number.name} after step {steps_of(run)}: code {running.wait()} within {seconds:.1f} s")
        assert running.wait() == code, log_of(run).read_text("utf-8")
        assert seconds < MOST_SECONDS
        resume(start, config, run)
        assert_same(run, undisturbed)


def loader_workers(running: Running) -> list[int]:
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    return [int(one) for one in children if Path(f"/proc/{one}/comm").read_text().strip() == "pt_data_worker"]


def run_losing_workers(words: list[str], run: Path, num_deaths: int) -> int:
    """Run the real command, kill a loader worker after every eighth step, and return the exit code."""
    running = started(words, log_of(run))
    for death in range(1, num_deaths + 1):
        at_step(8 * death, 0)(run, running)
        os.kill(random.Random(SEED + death).choice(loader_workers(running)), signal.SIGKILL)
    return running.wait()


def test_killed_workers(config: Path, undisturbed: Path, tmp_path: Path):
    run = tmp_path / "run"
    words = words_of(config, run, "--data.num-workers", "2")
    assert run_losing_workers(words, run, MOST_DEATHS - 1) == 0, log_of(run).read_text("utf-8")
    lines = log_of(run).read_text("utf-8").splitlines()
    assert sum(" died; " in line for line in lines) == MOST_DEATHS - 1
    assert_same(run, undisturbed)


def test_too_many_killed_workers(config: Path, undisturbed: Path, tmp_path: Path):
    run = tmp_path / "run"
    words = words_of(config, run, "--data.num-workers", "2")
    assert run_losing_workers(words, run, MOST_DEATHS) == 1
    *_, reason, command = log_of(run).read_text("utf-8").splitlines()
    assert re.fullmatch(
        "sycoca pretrain: loader workers died again and again, mostly because memory is short; stopped after step"
        r" \d+, checkpoint saved; resume with fewer workers:",
        reason,
    )
    assert command == f"  sycoca pretrain --resume {run} --data.num-workers {min(os.cpu_count() or 1, 2) // 2}"
    assert started(shlex.split(command)[1:], log_of(run)).wait() == 0
    assert_same(run, undisturbed)


TWO_PROCESSES = "--data.num-workers", "1"


@pytest.fixture(scope="module")
def undisturbed_pair(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("pair") / "run"
    started_at = time.monotonic()
    with two_processes(words_of(config, run, *TWO_PROCESSES)) as ranks:
        assert [rank.end(120)[0] for rank in ranks] == [0, 0]
    print(f"\nundisturbed, two processes: {time.monotonic() - started_at:.1f} s")
    return run


@pytest.mark.parametrize("index", range(5))
def test_kill_of_two_processes(config: Path, undisturbed_pair: Path, tmp_path: Path, index: int):
    generator = random.Random(f"{SEED} two {index}")
    moment = (
        at_step(generator.randrange(STEPS), generator.uniform(0, 0.02))
        if index < 2
        else at_checkpoint(generator.randint(1, 12), 0.003)
    )
    victims = ((0,), (1,), (0, 1), (0,), (1,))[index]
    run = tmp_path / "run"
    with two_processes(words_of(config, run, *TWO_PROCESSES)) as ranks:
        moment(run, ranks[0].process)
        for victim in victims:
            ranks[victim].send(signal.SIGKILL)
        phase = phase_of(run)
        seconds = max(rank.end(60)[2] for rank in ranks)
    print(f"\nranks {victims} killed: {phase}; all ended within {seconds:.1f} s")
    resume_pair(config, run)
    assert_same(run, undisturbed_pair)


def resume_pair(config: Path, run: Path) -> None:
    has_begun = (run / "config.yaml").exists()
    words = ["pretrain", "--resume", str(run)] if has_begun else words_of(config, run, *TWO_PROCESSES)
    with two_processes(words) as ranks:
        assert [ended(rank) for rank in ranks] == [(0, ""), (0, "")]


def ended(rank: Rank) -> tuple[int, str]:
    code, lines, _ = rank.end(120)
    return code, "\n".join(lines) if code else ""
