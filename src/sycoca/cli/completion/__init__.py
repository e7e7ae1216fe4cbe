"""``sycoca completion``: a table of all completions, and one file per shell."""
