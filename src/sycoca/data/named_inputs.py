"""Files and folders that the arguments of a command or function name: its outputs must not replace them."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from sycoca.data.samples import SampleSource
from sycoca.data.spec import places_of
from sycoca.file_names import existing


def named_inputs(*arguments: object) -> tuple[Path, ...]:
    """Return what paths and SPECs name, also those in lists, mappings and dataclasses; other texts name nothing."""
    return tuple(path for argument in arguments for path in _named(argument))


def inputs_of(options: Any, *outputs: str) -> tuple[Path, ...]:
    """Return what the fields of a dataclass name, but for the fields ``outputs``."""
    return named_inputs([getattr(options, one.name) for one in fields(options) if one.name not in outputs])


def _named(argument: object) -> Iterator[Path]:
    if isinstance(argument, os.PathLike):
        yield Path(os.fspath(argument))
    elif isinstance(argument, str):
        yield Path(existing(argument))
        yield from _places(argument)
    elif isinstance(argument, list | tuple):
        for one in argument:
            yield from _named(one)
    elif isinstance(argument, Mapping):
        yield from _named(list(argument.values()))
    elif is_dataclass(argument) and not isinstance(argument, type | SampleSource):
        yield from inputs_of(argument)


def _places(text: str) -> tuple[Path, ...]:
    try:
        return places_of(text)
    except (ValueError, OSError):  # no SPEC, or a wrong one, which is told when it is opened
        return ()
