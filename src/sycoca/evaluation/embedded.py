"""What is embedded of a data set. Imports no torch, so that commands show their help at once."""

from collections.abc import Mapping
from typing import Literal

Embedded = Literal["both", "images", "texts"]

EMBEDDED: Mapping[Embedded, tuple[str, ...]] = {
    "both": ("images", "texts"),
    "images": ("images",),
    "texts": ("texts",),
}
"""The arrays of each choice."""
