"""``sycoca completion``: one table of what can be completed where, and one file per shell."""
