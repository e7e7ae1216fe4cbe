"""All that the doctor looks at, in order. Imports no torch: where that fails, the doctor says so."""

import logging

from sycoca.experiments.doctor.finding import Diagnosis, failed_section
from sycoca.experiments.doctor.packages import optional_parts, versions

logger = logging.getLogger(__name__)


def examine(device: str = "auto") -> Diagnosis:
    """Look at versions, machine, folders and optional parts, measure precisions, and run the self-test on a device.

    Raises ValueError where there is no such device. Any other error is a finding.
    """
    try:
        from sycoca.experiments.doctor.measured import machine_sections, measured_sections
    except (ImportError, OSError) as error:  # OSError: a shared library of PyTorch's is missing or of another system
        logger.debug("imports", exc_info=True)
        return Diagnosis(sections=(versions(), optional_parts(), failed_section("imports", error)))
    measured = measured_sections(device)
    return Diagnosis(sections=(versions(), *machine_sections(), optional_parts(), *measured))
