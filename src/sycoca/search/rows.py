"""The rows of an image index: its columns, and tables of Arrow with them. Needs the extra [search]."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float32

from sycoca.search.index_facts import EMBEDDING, THUMBNAIL


def schema(embed_dim: int) -> pa.Schema:
    """Return the columns of an index."""
    return pa.schema(
        [
            pa.field("key", pa.string(), nullable=False),  # the sample's, unique
            pa.field("file", pa.string(), nullable=False),  # the path that opens the image, or the key
            pa.field("captions", pa.list_(pa.string()), nullable=False),
            pa.field("label", pa.string()),
            pa.field("split", pa.string()),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("image_state", pa.string(), nullable=False),  # changes with the file: size and time, or content
            pa.field("details", pa.string(), nullable=False),  # a digest of file, captions, label and split
            pa.field("content", pa.int64(), nullable=False),  # the key of the file's bytes
            pa.field(THUMBNAIL, pa.binary(), nullable=False),
            pa.field(EMBEDDING, pa.list_(pa.float32(), embed_dim), nullable=False),
        ]
    )


def rows_of(
    columns: Mapping[str, Sequence[Any]], embeddings: Float32[np.ndarray, "rows embed"], embed_dim: int
) -> pa.Table:
    """Return rows from their columns, without the embeddings, and their embeddings."""
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.reshape(-1)), embed_dim)
    return pa.table({**columns, EMBEDDING: vectors}, schema=schema(embed_dim))
