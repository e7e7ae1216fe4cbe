"""The tables of an image index in LanceDB: its rows, and what it says about itself. Needs the extra [search].

FOLDER/images.lance  a row per image, see `sycoca.search.rows`
FOLDER/facts.lance   one row: the facts as JSON

Every change is one commit: readers, and a program that resumes, see all of it or nothing.
"""

import asyncio
import json
import os
import secrets
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, final

import lancedb
import numpy as np
import pyarrow as pa
from jaxtyping import Float32
from lancedb.index import IvfFlat

from sycoca.search.index_facts import EMBEDDING, IndexFacts, ReplacedIndexError, facts_from_json, is_remote
from sycoca.search.rows import schema
from sycoca.terminal import one_line
from sycoca.texts import shortened

IMAGES = "images"
FACTS = "facts"

_MADE_BY = b"made_by"
"""The key of the fingerprints of the weights in the metadata of the rows: they change with the rows, in one commit."""

_CREATED = b"created"
"""The key of what tells an index from one that was there before, whose versions had the same numbers."""

_MOST_IN_LIST = 1000
"""Values in one condition: its parser takes more than linear time."""

_ROWS_OF_PART = 16_384
"""Rows that are in memory at once where all are read."""

_ITERATIONS = 20
_SAMPLE_RATE = 64
"""Iterations of k-means, and embeddings per cluster that it looks at; LanceDB's 50 and 256 take ten times as long."""

_WARNS_OF_READERS = r"optimize\(cleanup_older_than=0\)"
"""LanceDB's warning where old versions are not kept: a search that is under way could lose its files."""


@final
class IndexTable:
    """The tables of an index."""

    def __init__(self, path: str, database: Any, images: Any, facts: IndexFacts, facts_version: int) -> None:
        self.path = path
        self.facts = facts
        self._database = database
        self._images = images
        self._facts_version = facts_version
        self._created = (images.schema.metadata or {}).get(_CREATED)

    @classmethod
    def create(cls, path: str, facts: IndexFacts) -> "IndexTable":
        """Create an index without images, in place of one that is there."""
        database = _connect(path)
        columns = schema(facts.embed_dim).with_metadata(
            {_MADE_BY: _maker(facts), _CREATED: secrets.token_hex(8).encode()}
        )
        images = database.create_table(IMAGES, schema=columns, mode="overwrite")
        written = _write(database, facts)  # last: without facts it is no index
        return cls(path, database, images, facts, written)

    @classmethod
    def open(cls, path: str) -> "IndexTable | None":
        """Open an index; None where there is none. Raises ValueError where an object store does not answer."""
        if not is_remote(path) and not os.path.isdir(path):
            return None
        database, names = _connected(path)
        if FACTS not in names:
            return None
        facts = database.open_table(FACTS)
        version, read = facts.version, _read(facts, path)
        return cls(path, database, database.open_table(IMAGES), read, version)

    def put_in_place_of(self, other: "IndexTable") -> "IndexTable":
        """Replace the rows of another index by a copy of these, in one commit, and its facts; return it as it is then.

        It has no clusters before they are made.
        """
        other.write_facts(replace(other.facts, recall=None))  # first: the clusters go with the rows
        columns = self._images.schema
        batches = (batch for part in self.parts(columns.names) for batch in part.to_batches())
        asyncio.run(_overwrite(other.path, batches, columns))
        facts = replace(self.facts, recall=None)
        written = _write(other._database, facts)
        return IndexTable(other.path, other._database, other._database.open_table(IMAGES), facts, written)

    def write_facts(self, facts: IndexFacts) -> None:
        """Replace what the index says about itself."""
        self._facts_version = _write(self._database, facts)
        self.facts = facts

    @property
    def state(self) -> tuple[bytes | None, int]:
        """What changes with every commit of rows: which index it is, and the number of the last commit."""
        return self._created, self._images.version

    def snapshot(self) -> "IndexTable":
        """Return the index as it is now, whatever is changed later: rows and facts.

        Raises ReplacedIndexError where it was replaced by an index of other weights since it was opened.
        """
        images = self._database.open_table(IMAGES)
        images.checkout(images.version)
        metadata = images.schema.metadata or {}
        if metadata.get(_MADE_BY) != _maker(self.facts):
            raise ReplacedIndexError(f"{self.path} was replaced by an index of other weights; open it again")
        facts = self._database.open_table(FACTS)
        version = facts.version
        is_known = (version, metadata.get(_CREATED)) == (self._facts_version, self._created)
        read = self.facts if is_known else _read(facts, self.path)
        return IndexTable(self.path, self._database, images, read, version)

    def count(self, where: str | None = None) -> int:
        """Return how many images there are that fulfill a condition. Raises ValueError for one that is wrong."""
        return self._images.count_rows(where)

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Return columns of all rows."""
        return self._images.search().select(list(names)).to_arrow()

    def parts(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Yield columns of all rows, some rows at a time."""
        num_rows = self.count()
        for first in range(0, num_rows, _ROWS_OF_PART):
            places = list(range(first, min(first + _ROWS_OF_PART, num_rows)))
            yield self._images.take_offsets(places).select(list(names)).to_arrow()

    def spread(self, count: int, names: Sequence[str]) -> pa.Table:
        """Return columns of so many rows, evenly spread over the table; of all where there are no more."""
        num_rows = self.count()
        if num_rows == 0:  # the lowest LanceDB cannot take no rows
            return self.columns(names)
        places = sorted({place * num_rows // count for place in range(count)})
        return self._images.take_offsets(places).select(list(names)).to_arrow()

    def add(self, rows: pa.Table) -> None:
        """Append rows whose keys are new."""
        self._images.add(rows)

    def replace(self, rows: pa.Table) -> None:
        """Replace the rows with these keys."""
        change = self._images.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
        change.execute(rows)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete the rows with these keys."""
        for some in _lists(keys):
            self._images.delete(f"key IN ({', '.join(map(_quoted, some))})")

    def rows_with(self, contents: Sequence[int], names: Sequence[str]) -> pa.Table:
        """Return columns of the rows whose ``content`` is one of these."""
        found = [
            self._images.search().where(f"content IN ({', '.join(map(str, some))})").select(list(names)).to_arrow()
            for some in _lists(contents)
        ]
        return pa.concat_tables(found)

    def nearest(
        self,
        embedding: Float32[np.ndarray, " embed"],
        count: int,
        names: Sequence[str],
        *,
        where: str | None = None,
        num_probes: int | None = None,
    ) -> pa.Table:
        """Return the rows of the largest cosines, with the column ``_distance``, which is 1 - cosine.

        ``num_probes``: search approximately, in so many clusters; None compares every row.
        """
        query = self._images.search(embedding, vector_column_name=EMBEDDING).distance_type("cosine").limit(count)
        query = query.bypass_vector_index() if num_probes is None else query.nprobes(num_probes)
        query = query if where is None else query.where(where, prefilter=True)
        return query.select([*names, "_distance"]).to_arrow()

    def cluster(self, num_clusters: int) -> None:
        """Cluster all embeddings, for approximate searches (IVF with whole vectors)."""
        asyncio.run(self._cluster(num_clusters))

    async def _cluster(self, num_clusters: int) -> None:
        # Only the asynchronous interface is the same in all versions of LanceDB.
        database = await lancedb.connect_async(self.path)
        images = await database.open_table(IMAGES)
        config = IvfFlat(
            distance_type="cosine", num_partitions=num_clusters, max_iterations=_ITERATIONS, sample_rate=_SAMPLE_RATE
        )
        await images.create_index(EMBEDDING, config=config, replace=True)

    def is_clustered(self) -> bool:
        """Return whether the embeddings are clustered."""
        return any(index.columns == [EMBEDDING] for index in self._images.list_indices())

    def optimize(self) -> None:
        """Join small files, put new rows into their clusters, and delete what no new search uses."""
        for table in (self._images, self._database.open_table(FACTS)):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", _WARNS_OF_READERS)
                # Not a millisecond: joining can take less, and would leave the files that it has joined.
                table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)


async def _overwrite(path: str, batches: Iterator[pa.RecordBatch], columns: pa.Schema) -> None:
    # In an event loop of its own: the rows are read by LanceDB too, whose other interface has one loop for all calls.
    database = await lancedb.connect_async(path)
    await database.create_table(IMAGES, batches, columns, mode="overwrite")


def _write(database: Any, facts: IndexFacts) -> int:
    """Replace the facts of an index, and return their version."""
    return database.create_table(FACTS, data=pa.table({"json": [facts.to_json()]}), mode="overwrite").version


def _read(table: Any, path: str) -> IndexFacts:
    return facts_from_json(table.to_arrow()["json"][0].as_py(), path)


def _maker(facts: IndexFacts) -> bytes:
    return json.dumps(facts.fingerprints, sort_keys=True).encode()


def _connect(path: str) -> Any:
    # At once: a server that holds an index open follows the program that changes it.
    return lancedb.connect(path, read_consistency_interval=timedelta(0))


def _connected(path: str) -> tuple[Any, Sequence[str]]:
    """Return the database at a path, and the names of its tables."""
    try:
        database = _connect(path)
        return database, _table_names(database)
    except (ValueError, RuntimeError, OSError) as error:
        if not is_remote(path):
            raise
        raise ValueError(
            f"{path} cannot be read: are the name, and the credentials and region in the environment, right?"
            f" {shortened(one_line(str(error)))}"
        ) from error


def _table_names(database: Any) -> Sequence[str]:
    return database.list_tables().tables if hasattr(database, "list_tables") else database.table_names()


def _lists(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[first : first + _MOST_IN_LIST] for first in range(0, len(values), _MOST_IN_LIST))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
