"""The names of an index's columns. Imports nothing, so that queries are checked without the extra [search]."""

SHOWN = ("key", "captions", "label", "split", "width", "height")
"""The columns that a hit shows, and that a condition is most useful with."""

EMBEDDING = "embedding"
THUMBNAIL = "thumbnail"

STATE = ("key", "image_state", "details", "content")
"""The columns by which a sample is recognized: what they mean says `schema`."""
