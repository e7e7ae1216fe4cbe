"""``sycoca data``: one file per command."""
