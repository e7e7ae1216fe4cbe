"""A worker process for one side of the comparison, which waits for commands.

Every line of stdin is a command, every line of stdout its result, both JSON.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from inputs import Inputs
from measure import peak_bytes, seconds


def main() -> None:
    """Serve one side: ``worker.py SIDE INPUTS THREADS``."""
    side_name, folder, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    if side_name == "sycoca":
        from sycoca_side import SycocaSide as Side
    else:
        from open_clip_side import OpenClipSide as Side
    side = Side(Inputs(folder=Path(folder)))
    call = None
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        match command:
            case "num_parameters":
                answer = side.num_parameters()
            case "prepare":
                call = _prepared(side, arguments[0])
                answer = seconds(call)
            case "seconds":
                answer = seconds(call)
            case "peak_bytes":
                answer = peak_bytes(call)
            case "release":
                call = None
                answer = None
        print(json.dumps(answer), flush=True)


def _prepared(side: object, row: str) -> Callable[[], object]:
    for suffix, options in (("_compiled", {"compiled": True}), ("_bf16", {"precision": "bf16"})):
        if row.endswith(suffix):
            return getattr(side, row.removesuffix(suffix))(**options)
    return getattr(side, row)()


if __name__ == "__main__":
    main()
