"""Maps of a model over a data set: the functions behind ``sycoca map``."""

import logging
import os
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

import torch

from sycoca.data.choices import check_choice
from sycoca.data.loading.skipping import SkipLog
from sycoca.data.named_inputs import named_inputs
from sycoca.data.samples import SampleSource, skipped_samples
from sycoca.inference.model_options import ModelOptions
from sycoca.inference.predictor import Predictor
from sycoca.mapping.blocks import blocks_of
from sycoca.mapping.folder import MapFolder, check_folder
from sycoca.mapping.local import map_unclaimed
from sycoca.mapping.plan import agree, check_unchanged, plan_of
from sycoca.mapping.processes import device_of, local_rank, map_in_processes
from sycoca.mapping.ray_engine import check_requirements, map_on_ray
from sycoca.mapping.result import MapResult
from sycoca.mapping.settings import FORMATS, USES_CLUSTER, MapFormat, MapSettings, Verb
from sycoca.mapping.work import Data, Work
from sycoca.mapping.worker import Advance, BlockReport, Job, Worker
from sycoca.mapping.writing import check_format
from sycoca.outputs.disk_full import disk_full_reason
from sycoca.outputs.errors import DiskFullError, OutputInterrupted
from sycoca.outputs.manifest import is_verification_on
from sycoca.progress_bar import tracked
from sycoca.stop_signals import number_of
from sycoca.weights.config import CONFIG_NAME, WeightsConfig
from sycoca.weights.config_file import read_weights_config, refuse_parts
from sycoca.weights.folder import check_files
from sycoca.weights.hub import local_weights

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)


def run_map(
    work: Work,
    weights: Predictor | str | Path,
    data: Data,
    out: Path,
    *,
    format: MapFormat,
    settings: MapSettings,
    model: ModelOptions,
    console: "Console | None",
) -> MapResult:
    """Map a data set into a folder, and return what was made.

    Raises OutputError before anything runs where the folder is that of another map; ValueError where arguments
    contradict each other, too many samples cannot be read, or the model cannot do the work; OutputInterrupted and
    DiskFullError, which say what is there, where it is cut short.
    """
    started_at = time.perf_counter()
    check_choice("format", format, FORMATS[work.facts.verb])
    check_format(format)
    _check_arguments(settings, weights, data)
    inputs = named_inputs(weights, data)
    check_folder(out, inputs, overwrite=False)
    work.facts.check(_config_of(weights))
    source = work.open(data)
    SkipLog(source, settings.max_skipped_ratio)  # raises where the source itself has left too many out
    blocks = blocks_of(source, settings.block_size)
    plan = plan_of(work, weights, _name_of(data), source, blocks, format, model)
    check_folder(out, inputs, overwrite=settings.overwrite)
    agree(out, plan)
    folder = MapFolder(out, blocks, work.facts.columns, format)
    folder.write_skipped_by_source(skipped_samples(source))
    job = Job(
        work=work,
        weights=weights,
        data=data,
        out=out,
        format=format,
        block_size=settings.block_size,
        max_skipped_ratio=settings.max_skipped_ratio,
        model=model,
        plan=plan,
        is_verifying=is_verification_on(),
    )
    with _naming_remains(folder):
        reports = _collected(_advances(job, source, folder, settings), folder, work, console)
    check_unchanged(out, plan)
    folder.tidy()
    return _result(work, folder, len(source), reports, time.perf_counter() - started_at)


def _check_arguments(settings: MapSettings, weights: object, data: object) -> None:
    """Raise ValueError where other processes would have to get what is only in the memory of this one."""
    is_named = isinstance(weights, str | os.PathLike) and isinstance(data, str | os.PathLike)
    is_alone = not USES_CLUSTER[settings.engine] and settings.workers in (None, 1)
    if not is_named and not is_alone:
        raise ValueError("several workers load model and data themselves: name a weights folder and a data SPEC")
    if USES_CLUSTER[settings.engine]:
        check_requirements()


def _config_of(weights: Predictor | str | Path) -> WeightsConfig:
    if isinstance(weights, Predictor):
        return weights.config
    folder = local_weights(weights)
    refuse_parts(folder)
    check_files(folder, (CONFIG_NAME,))
    config = read_weights_config(folder)
    check_files(folder, config.files)
    return config


def _name_of(data: Data) -> str:
    return os.fspath(data) if isinstance(data, str | os.PathLike) else data.name


def _advances(
    job: Job, source: SampleSource, folder: MapFolder, settings: MapSettings
) -> Generator[Advance, None, None]:
    """Return the progress of the workers, which run while it is consumed."""
    num_workers = settings.workers
    match settings.engine:
        case "local":
            if num_workers is not None and num_workers > 1:
                cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
                threads = max(1, cores // num_workers) if settings.threads is None else settings.threads
                return map_in_processes(job, num_workers, threads)
            return _map_here(job, source, folder, settings.threads)
        case "ray":
            return map_on_ray(job, folder, settings)
        case unknown:
            assert_never(unknown)


def _map_here(job: Job, source: SampleSource, folder: MapFolder, threads: int | None) -> Generator[Advance, None, None]:
    model = replace(job.model, device=device_of(job.model.device, local_rank()))
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        yield from map_unclaimed(Worker(replace(job, model=model), source, folder))
    finally:
        torch.set_num_threads(before)


def _collected(
    advances: Generator[Advance, None, None], folder: MapFolder, work: Work, console: "Console | None"
) -> list[BlockReport]:
    """Consume the workers' progress and return their reports."""
    unfinished = folder.unfinished()
    if not unfinished:
        return []
    if len(unfinished) < len(folder.blocks):
        done = len(folder.blocks) - len(unfinished)
        logger.info("%s has %d of %d files", folder.path, done, len(folder.blocks))
    reports: list[BlockReport] = []

    def samples() -> Generator[None, None, None]:
        for advance in advances:
            if advance.report is not None:
                reports.append(advance.report)
                _tell_skipped(advance.report)
            yield from repeat(None, advance.num_samples)

    with closing(advances), closing(samples()) as each:  # a stop releases the blocks, whoever keeps its traceback
        # The first sample waits for the models, which would spoil the estimate of the time that is left.
        first = list(islice(each, 1))
        total = sum(map(len, unfinished))
        for _ in tracked(chain(first, each), total, _DESCRIPTIONS[work.facts.verb], console=console):
            pass
    return reports


_DESCRIPTIONS: Mapping[Verb, str] = {
    "caption": "captioning",
    "embed": "embedding",
    "filter": "filtering",
    "score": "scoring",
}
"""What progress is called."""


def _tell_skipped(report: BlockReport) -> None:
    for one in report.skipped:
        logger.info("skipped: %s", one.detail)


def _result(
    work: Work, folder: MapFolder, num_samples: int, reports: Sequence[BlockReport], seconds: float
) -> MapResult:
    num_truncated = sum(report.num_truncated for report in reports)
    if num_truncated:
        logger.warning(f"{num_truncated:,} captions are longer than the model's context: the rest of them is not read")
    skipped = Counter(one.reason for one in folder.skipped())
    return MapResult(
        verb=work.facts.verb,
        out=folder.path,
        files=len(folder.blocks),
        samples=num_samples,
        skipped=dict(skipped.most_common()),
        written_files=len(reports),
        written_rows=sum(report.num_rows for report in reports),
        mapped_samples=sum(report.num_samples for report in reports),
        seconds=round(seconds, 3),
    )


@contextmanager
def _naming_remains(folder: MapFolder) -> Iterator[None]:
    """Context in which an interruption, or a full disk, says what the folder has."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise OutputInterrupted(folder.remains(), number_of(interrupt)) from None
    except Exception as error:
        reason = disk_full_reason(error)
        if reason is None:
            raise
        raise DiskFullError(reason, folder.remains()) from error
