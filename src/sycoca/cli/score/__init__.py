"""``sycoca score``: one file per task."""
