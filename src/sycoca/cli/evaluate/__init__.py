"""``sycoca evaluate``: one file per task."""
