"""``sycoca convert``: one file per direction."""
