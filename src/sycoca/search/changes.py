"""What has changed between a source and its index: which samples are new, changed, or gone."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

from sycoca.data.content_keys import HasFingerprint
from sycoca.data.formats.named_images import shown_name
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.search.index_facts import STATE
from sycoca.search.index_table import IndexTable


class KnownRow(NamedTuple):
    """What an index knows about a sample, to see whether it has changed."""

    image_state: str
    """State of the image file when it was read."""

    details: str
    """Digest of what is stored beside the image."""

    content: int
    """Key of the image's content."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A sample whose row is missing, or is not as it should be."""

    index: int
    """Number of the sample in its source."""

    image_state: str | None
    """State of the image file; None where only its content says whether it has changed."""

    details: str
    """Digest of what is stored beside the image."""

    content: int | None = None
    """The image's content where the index has that of this file; None where the file must be read."""


@final
class IndexedRows:
    """The rows of an index by key, as they were before."""

    def __init__(self, table: IndexTable) -> None:
        columns = table.columns(STATE).to_pydict()
        rows = zip(*(columns[name] for name in STATE), strict=True)
        self.by_key: Mapping[str, KnownRow] = {key: KnownRow(*others) for key, *others in rows}
        self.contents = frozenset(row.content for row in self.by_key.values())
        self._wanted: set[str] = set()

    def changes(self, source: SampleSource) -> list[Change]:
        """Return what is to be done for the samples of a source, and remember their keys."""
        found = []
        for index in range(len(source)):
            sample = source[index]
            self._wanted.add(sample.key)
            change = self._change(index, sample)
            if change is not None:
                found.append(change)
        return found

    def gone(self, unusable: Collection[str]) -> list[str]:
        """Return the keys of the rows whose sample is no longer in the source, or is unusable."""
        return [key for key in self.by_key if key not in self._wanted or key in unusable]

    def is_unchanged(self, key: str, image_state: str, details: str) -> bool:
        """Return whether a sample's row is as it should be."""
        known = self.by_key.get(key)
        return known is not None and (known.image_state, known.details) == (image_state, details)

    def _change(self, index: int, sample: ImageTextSample) -> Change | None:
        state, details, known = image_state(sample), details_of(sample), self.by_key.get(sample.key)
        if known is None or state is None or state != known.image_state:
            return Change(index=index, image_state=state, details=details)
        if details != known.details:
            return Change(index=index, image_state=state, details=details, content=known.content)
        return None


def image_state(sample: ImageTextSample) -> str | None:
    """Return what changes with the file of an image, without reading it; None where nothing tells.

    Size and modification time, or size and CRC in a zip file; its path is no part, so that folders may move.
    """
    if not isinstance(sample.open_image, HasFingerprint):
        return None
    found = sample.open_image.fingerprint()
    return None if found is None else f"{found[1]} {found[2]}"


def content_state(content: int) -> str:
    """Return the state of an image that nothing but its content tells."""
    return f"content {content}"


def details_of(sample: ImageTextSample) -> str:
    """Return a digest of what is stored beside the image."""
    plain: Sequence[object] = (shown_name(sample), sample.captions, sample.label, sample.split)
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]
