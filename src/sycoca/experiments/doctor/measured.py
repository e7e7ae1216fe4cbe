"""The sections of the doctor that need PyTorch."""

import logging
from collections.abc import Callable, Iterator
from functools import partial

from sycoca.experiments.doctor.finding import Section, failed_section
from sycoca.experiments.doctor.machine import folders, machine
from sycoca.experiments.doctor.precision import precision
from sycoca.experiments.doctor.self_test import self_test
from sycoca.inference.load import choose_device

logger = logging.getLogger(__name__)


def machine_sections() -> Iterator[Section]:
    """Yield machine and folders."""
    yield _tried("machine", machine)
    yield _tried("folders", folders)


def measured_sections(device: str) -> Iterator[Section]:
    """Return an iterator over precisions and self-test on a device. Raises ValueError where there is none."""
    chosen = choose_device(device)
    sections = (("precision", precision), ("self-test", self_test))
    return (_tried(f"{title} on {chosen}", partial(section, chosen)) for title, section in sections)


def _tried(title: str, section: Callable[[], Section]) -> Section:
    try:
        return section()
    except Exception as error:  # whatever a broken installation raises is what the doctor is asked about
        logger.debug(title, exc_info=True)
        return failed_section(title, error)
