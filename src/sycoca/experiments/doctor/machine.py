"""The machine: cores and threads, memory, devices, and folders that can be written."""

import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from sycoca.data.inspection.finding_cache import default_cache_path
from sycoca.experiments.doctor.finding import Finding, Section
from sycoca.model.products import processor_name
from sycoca.training.engine.limits import device_bytes, gigabytes

LEAST_FREE_BYTES = 2**30
"""Free space below which a folder is remarked: the weights of a base model take 1 to 2 GB."""

CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")
"""Where a container reads its limit on processor time: microseconds, or max, of each period."""

_CPU = torch.device("cpu")
_SIDE = 64
_TOLERANCE = 1e-3


def machine() -> Section:
    """Return processor, threads, memory and devices; each device multiplies a matrix."""
    return Section(title="machine", findings=(*_processor(), *_memory(), *devices()))


def folders() -> Section:
    """Return whether the folders that commands write to can be written, with their free space."""
    named = {
        "current folder": Path.cwd(),
        "cache folder": default_cache_path().parent,
        "temporary folder": Path(tempfile.gettempdir()),
    }
    return Section(title="folders", findings=tuple(_folder(name, path) for name, path in named.items()))


def _processor() -> Iterator[Finding]:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding(name="processor", value=processor_name())
    quota = _quota()
    of_quota = "" if quota is None else f", with the processor time of {quota:g}"
    yield Finding(name="cores", value=f"{allowed} of {os.cpu_count()} may be used{of_quota}")
    usable = allowed if quota is None else min(allowed, max(1, math.floor(quota)))
    threads, set_by = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    value = f"{threads} of PyTorch" + ("" if set_by is None else f" (OMP_NUM_THREADS={set_by})")
    if threads > usable:
        remedy = f"set OMP_NUM_THREADS={usable}: threads without a core wait for each other"
        yield Finding(name="threads", value=value, state="note", remedy=remedy)
    else:
        yield Finding(name="threads", value=value)


def _quota() -> float | None:
    """Return a container's limit on processor time, in cores; None without one."""
    if not CPU_LIMIT.exists():
        return None
    quota, _, period = CPU_LIMIT.read_text(encoding="ascii").partition(" ")
    return None if quota == "max" else int(quota) / int(period)


def _memory() -> Iterator[Finding]:
    listing = Path("/proc/meminfo")
    free = re.search(r"MemAvailable:\s+(\d+)", listing.read_text(encoding="ascii")) if listing.exists() else None
    available = "" if free is None else f", {gigabytes(1024 * int(free[1]))} of it available"
    yield Finding(name="memory", value=f"{gigabytes(device_bytes(_CPU))}{available}")


def devices() -> Iterator[Finding]:
    """Yield the devices that PyTorch finds, each after a matrix product whose result is compared."""
    yield _device(_CPU, "")
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is None:
        value = f"none; PyTorch {torch.__version__} finds neither a GPU nor another accelerator"
        yield Finding(name="accelerator", value=value, state="note")
        return
    for index in range(torch.accelerator.device_count()):
        device = torch.device(accelerator.type, index)
        yield _device(device, _description(device))


def _description(device: torch.device) -> str:
    if device.type != "cuda":
        return str(device)
    found = torch.cuda.get_device_properties(device)
    return f"{found.name}, {gigabytes(found.total_memory)}, capability {found.major}.{found.minor}"


def product_on(
    device: torch.device, left: Float[Tensor, "rows inner"], right: Float[Tensor, "inner columns"]
) -> Float[Tensor, "rows columns"]:
    """Return the product of two matrices as a device computes it."""
    return (left.to(device) @ right.to(device)).cpu()


def _device(device: torch.device, value: str) -> Finding:
    before = f"{value}: " if value else ""
    generator = torch.Generator().manual_seed(0)
    left, right = torch.rand(2, _SIDE, _SIDE, generator=generator).unbind()
    try:
        product = product_on(device, left, right)
    except RuntimeError as error:
        what = " ".join(str(error).split())[:200]
        return Finding(name=str(device), value=f"{before}{what}", state="failed", remedy="reinstall PyTorch for it")
    expected = left.double() @ right.double()
    if float((product - expected).abs().max()) > _TOLERANCE * float(expected.abs().max()):
        return Finding(name=str(device), value=f"{before}a matrix product is wrong", state="failed")
    return Finding(name=str(device), value=f"{before}a matrix product is right")


def _folder(name: str, path: Path) -> Finding:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path, prefix=".sycoca-doctor-"):
            free = shutil.disk_usage(path).free
    except OSError as error:
        remedy = "change its rights, or choose another one" + _variable(name)
        return Finding(name=name, value=f"{path}: {error.strerror or error}", state="failed", remedy=remedy)
    if free < LEAST_FREE_BYTES:
        return Finding(name=name, value=f"{path}: only {gigabytes(free)} free", state="note", remedy="free some space")
    return Finding(name=name, value=f"{path}: {gigabytes(free)} free")


def _variable(name: str) -> str:
    variables = {"cache folder": ": XDG_CACHE_HOME names it", "temporary folder": ": TMPDIR names it"}
    return variables.get(name, "")
