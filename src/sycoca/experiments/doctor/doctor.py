"""All that the doctor looks at, in order."""

from sycoca.experiments.doctor.finding import Diagnosis
from sycoca.experiments.doctor.machine import folders, machine
from sycoca.experiments.doctor.packages import optional_parts, versions
from sycoca.experiments.doctor.precision import precision
from sycoca.experiments.doctor.self_test import self_test
from sycoca.inference.load import choose_device


def examine(device: str = "auto") -> Diagnosis:
    """Look at versions, machine, folders and optional parts, measure precisions, and run the self-test on a device.

    Raises ValueError where there is no such device.
    """
    chosen = choose_device(device)
    return Diagnosis(
        sections=(versions(), machine(), folders(), optional_parts(), precision(chosen), self_test(chosen))
    )
