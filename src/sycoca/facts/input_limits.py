"""Limits on what is read from files, so that a small file cannot take gigabytes or minutes.

Every limit is an environment variable, which also reaches the worker processes of a run. It is read when it is needed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

LimitName = Literal[
    "line_bytes",
    "record_bytes",
    "json_bytes",
    "model_json_bytes",
    "yaml_bytes",
    "yaml_depth",
    "yaml_values",
    "unpacked_ratio",
    "unusable_rows",
    "word_characters",
    "decoded_bytes",
    "image_side",
    "image_scans",
    "image_file_bytes",
    "member_bytes",
    "zip_members",
    "shards",
]
"""What is limited."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InputLimit:
    """A limit on what is read."""

    default: int
    """Its value where the environment sets none."""

    title: str
    """What it limits, as part of a sentence."""

    why: str
    """What goes wrong without it, or where the value is from."""


_MIB = 2**20

INPUT_LIMITS: Mapping[LimitName, InputLimit] = {
    "line_bytes": InputLimit(
        default=_MIB, title="bytes of a line of a text file", why="parsed JSON takes up to 24 times its size"
    ),
    "record_bytes": InputLimit(
        default=16 * _MIB,
        title="bytes of a line of a file that `--resume` continues",
        why="the names of 100,000 samples, those of a large batch",
    ),
    "json_bytes": InputLimit(
        default=1024 * _MIB, title="bytes of a JSON file of data", why="the largest annotations of COCO have 450 MB"
    ),
    "model_json_bytes": InputLimit(
        default=64 * _MIB,
        title="bytes of config.json, tokenizer.json and other JSON files of a model",
        why="a vocabulary of 250,000 tokens has 35 MB",
    ),
    "yaml_bytes": InputLimit(default=256 * 2**10, title="bytes of a YAML file", why="parsing takes 20 s per MiB"),
    "yaml_depth": InputLimit(default=50, title="nesting depth of a YAML file", why="the parser recurses"),
    "yaml_values": InputLimit(
        default=100_000,
        title="values of a YAML file once its aliases are replaced",
        why="400 bytes of aliases expand to 10^8 values",
    ),
    "unpacked_ratio": InputLimit(
        default=100,
        title="bytes that one byte of a .gz file may unpack to, beyond the first 8 MiB",
        why="texts compress 3 to 20 times, repetitions 1,000 times",
    ),
    "unusable_rows": InputLimit(
        default=250_000,
        title="unusable rows of a data file, and of its empty lines",
        why="each is kept with its name and reason, 1 kB",
    ),
    "word_characters": InputLimit(
        default=1024,
        title="characters of a word that a trained tokenizer merges as one; longer words are split",
        why="merging takes quadratic time",
    ),
    "decoded_bytes": InputLimit(
        default=256 * _MIB,
        title="bytes of memory to decode one image",
        why="enough for 67 megapixels in RGB, 33 with transparency, 22 in WebP",
    ),
    "image_side": InputLimit(
        default=65_535, title="pixels of an image's longer side", why="the maximum of JPEG; decoders allocate by rows"
    ),
    "image_scans": InputLimit(
        default=100, title="scans of a progressive JPEG", why="encoders write 10; each takes a pass over all pixels"
    ),
    "image_file_bytes": InputLimit(
        default=256 * _MIB, title="bytes of an image file", why="an uncompressed image of 67 megapixels has 200 MB"
    ),
    "member_bytes": InputLimit(
        default=128 * _MIB, title="bytes of an image in a zip file, once unpacked", why="it is unpacked into memory"
    ),
    "zip_members": InputLimit(default=2_000_000, title="members of a zip file", why="ImageNet has 1.28 million images"),
    "shards": InputLimit(
        default=1_000_000, title="files of a source of shards", why="a billion samples in shards of 10,000 have 100,000"
    ),
}
"""All limits on what is read."""


def variable_of(name: LimitName) -> str:
    """Return the environment variable that sets a limit."""
    return f"SYCOCA_MAX_{name.upper()}"


def input_limit(name: LimitName) -> int:
    """Return the value of a limit. Raises ValueError where the environment sets something else than a whole number."""
    text = os.environ.get(variable_of(name))
    if text is None:
        return INPUT_LIMITS[name].default
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 18 and int(text) > 0):
        raise ValueError(f"{variable_of(name)} must be a whole number of at least 1, got {text[:60]!r}")
    return int(text)


def stated_limit(name: LimitName) -> str:
    """Return the end of an error message about a limit: its value, and the variable that sets it."""
    return f"the limit is {input_limit(name):,} {INPUT_LIMITS[name].title}; {variable_of(name)} sets another"


class InputLimitError(ValueError):
    """A file exceeds a limit on what is read."""
