"""Cache of facts about image files: one row per file, valid while the file does not change.

Any problem with the cache is logged, and the images are read again. A file that is something else is refused.
"""

import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import PIL

from sycoca.data.content_keys import Fingerprint
from sycoca.data.inspection.image_facts import ImageFacts
from sycoca.data.inspection.photo_measures import PhotoMeasures
from sycoca.outputs.cache_folder import user_cache_folder
from sycoca.outputs.errors import OutputError
from sycoca.unusable import LASTING_REASONS, SkippedSample

Finding = ImageFacts | SkippedSample
"""Facts about an image, or why it cannot be read."""

_SCHEMA_VERSION = 2
_APPLICATION_ID = int.from_bytes(b"SyCI", "big")  # of an image cache of sycoca; SQLite keeps it in bytes 68 to 71
_MAGIC = b"SQLite format 3\0"
logger = logging.getLogger(__name__)

_LOOKED_AT_BY = f"2, PIL {PIL.__version__}"  # raise the 2 where decoding or `image_facts` changes
_SECONDS_TO_WAIT = 20.0
_MOST_NAMES = 500  # SQLite takes a limited number of values at a time
_FACTS = "width, height, is_gray, pixel_hash, perceptual_hash, colors, sharpness, dark_level, bright_level, information"
_NUM_FACTS = len(_FACTS.split())

_COLUMNS_OF_ALL_VERSIONS = {
    "file",
    "bytes",
    "stamp",
    "looked_at_by",
    "pixel_hash",
    "perceptual_hash",
    "reason",
    "detail",
}
"""Some of them; the earlier versions wrote no application id."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    file BLOB PRIMARY KEY, bytes INTEGER, stamp INTEGER, looked_at_by TEXT,
    width INTEGER, height INTEGER, is_gray INTEGER, pixel_hash BLOB, perceptual_hash BLOB, colors BLOB,
    sharpness REAL, dark_level INTEGER, bright_level INTEGER, information REAL,
    name BLOB, reason TEXT, detail BLOB
) WITHOUT ROWID
"""


def default_cache_path() -> Path:
    """Return the path of the cache: sycoca/images.sqlite in the user's cache folder."""
    return user_cache_folder() / "images.sqlite"


@final
class FindingCache:
    """Findings by fingerprint, in an SQLite file that several processes can use at once."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the file; without a path nothing is stored.

        Raises OutputError (a ValueError) where the file is something else, which is left as it is.
        """
        self._path = path
        self._database: sqlite3.Connection | None = None
        if path is not None:
            with self._guarded(path):
                self._database = _opened(path)

    def known(self, fingerprints: Sequence[Fingerprint]) -> Mapping[Fingerprint, Finding]:
        """Return the findings about those files in their present state."""
        found: dict[Fingerprint, Finding] = {}
        for start in range(0, len(fingerprints), _MOST_NAMES):
            for row in self._rows([_bytes(one[0]) for one in fingerprints[start : start + _MOST_NAMES]]):
                found[(_text(row[0]), row[1], row[2])] = _finding(row[3:])
        wanted = set(fingerprints)
        return {fingerprint: finding for fingerprint, finding in found.items() if fingerprint in wanted}

    def keep(self, findings: Mapping[Fingerprint, Finding]) -> None:
        """Store the findings that hold while the files do not change."""
        rows = [(*_row_start(fingerprint), *_row_end(finding)) for fingerprint, finding in findings.items()]
        lasting = [row for row in rows if row[-2] is None or row[-2] in LASTING_REASONS]
        if self._path is None or self._database is None or not lasting:
            return
        with self._guarded(self._path), self._database:
            values = ", ".join("?" * len(lasting[0]))
            self._database.executemany(f"INSERT OR REPLACE INTO images VALUES ({values})", lasting)

    def __enter__(self) -> "FindingCache":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _rows(self, names: Sequence[bytes]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        if self._path is not None and self._database is not None:
            places = ", ".join("?" * len(names))
            query = (
                f"SELECT file, bytes, stamp, {_FACTS}, name, reason, detail FROM images"
                f" WHERE looked_at_by = ? AND file IN ({places})"
            )
            with self._guarded(self._path):
                rows = self._database.execute(query, (_LOOKED_AT_BY, *names)).fetchall()
        return rows

    @contextmanager
    def _guarded(self, path: Path) -> Iterator[None]:
        """Log what is wrong with the file and continue: with a new one where it is damaged, else without."""
        try:
            yield
        except (sqlite3.OperationalError, OSError, _NewerCacheError) as error:
            logger.warning(f"image cache {path}: {error}; continuing without it (--cache FILE names another)")
            self.close()
        except sqlite3.DatabaseError as error:
            if not _is_marked(path):
                if self._database is None:
                    raise _not_a_cache(path) from error
                logger.warning(f"image cache {path}: {error}; continuing without it (--cache FILE names another)")
                self.close()
                return
            logger.warning(f"image cache {path} is damaged ({error}); it is rebuilt")
            self.close()
            with self._guarded_once(path):
                path.unlink()
                self._database = _opened(path)

    @contextmanager
    def _guarded_once(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            logger.warning(f"image cache {path}: {error}; continuing without it (--cache FILE names another)")
            self.close()


class _NewerCacheError(Exception):
    """The file was written by a newer version, which the user may still use."""


def _not_a_cache(path: Path) -> OutputError:
    return OutputError(f"{path} is no image cache of sycoca and is left as it is; name another file with --cache")


def _is_marked(path: Path) -> bool:
    """Return whether a file is an image cache whatever state it is in: by its application id, or by its own place."""
    if path == default_cache_path() or not path.is_file():
        return True
    with path.open("rb") as file:
        start = file.read(72)
    return start.startswith(_MAGIC) and start[68:] == _APPLICATION_ID.to_bytes(4, "big")


def _is_cache(database: sqlite3.Connection) -> bool:
    """Return whether a file is an image cache, or empty: an earlier version's is known by the columns of its table."""
    (application,) = database.execute("PRAGMA application_id").fetchone()
    if application != 0:
        return application == _APPLICATION_ID
    tables = database.execute("SELECT name FROM sqlite_master").fetchall()
    columns = {row[1] for row in database.execute("PRAGMA table_info(images)")}
    return not tables or (tables == [("images",)] and columns >= _COLUMNS_OF_ALL_VERSIONS)


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=_SECONDS_TO_WAIT)
    try:
        if not _is_cache(database):
            raise _not_a_cache(path)
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > _SCHEMA_VERSION:
            raise _NewerCacheError(f"it has version {version}, this SyCoCa knows {_SCHEMA_VERSION}")
        # Waiting for the disk protects from power failures only, after which a damaged cache is rebuilt.
        database.execute("PRAGMA synchronous = OFF")
        with database:
            if version < _SCHEMA_VERSION:
                database.execute("DROP TABLE IF EXISTS images")  # its rows lack columns
            database.execute(_SCHEMA)
            database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
    except BaseException:
        database.close()
        raise
    return database


def _row_start(fingerprint: Fingerprint) -> tuple[Any, ...]:
    file, num_bytes, stamp = fingerprint
    return _bytes(file), num_bytes, stamp, _LOOKED_AT_BY


def _row_end(finding: Finding) -> tuple[Any, ...]:
    if isinstance(finding, SkippedSample):
        return *[None] * _NUM_FACTS, _bytes(finding.name), finding.reason, _bytes(finding.detail)
    perceptual_hash = finding.perceptual_hash.to_bytes(8, "big")  # SQLite's integers have a sign
    sizes = finding.width, finding.height, finding.is_gray
    measures = finding.measures
    quality = measures.sharpness, measures.dark_level, measures.bright_level, measures.information
    return *sizes, finding.pixel_hash, perceptual_hash, finding.colors, *quality, None, None, None


def _finding(columns: Sequence[Any]) -> Finding:
    width, height, is_gray, pixel_hash, perceptual_hash, colors, *quality, name, reason, detail = columns
    if reason is not None:
        return SkippedSample(name=_text(name), reason=reason, detail=_text(detail))
    return ImageFacts(
        width=width,
        height=height,
        is_gray=bool(is_gray),
        pixel_hash=pixel_hash,
        perceptual_hash=int.from_bytes(perceptual_hash, "big"),
        colors=colors,
        measures=_measures(*quality),
    )


def _measures(sharpness: float | None, dark_level: int, bright_level: int, information: float) -> PhotoMeasures:
    return PhotoMeasures(sharpness=sharpness, dark_level=dark_level, bright_level=bright_level, information=information)


def _bytes(text: str) -> bytes:
    # File names that are not UTF-8 have lone surrogates, which SQLite refuses as text.
    return text.encode("utf-8", "surrogatepass")


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogatepass")
