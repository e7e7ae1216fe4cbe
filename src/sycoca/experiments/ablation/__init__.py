"""``sycoca ablate``: rows of a table, each trained with several seeds, and their paired differences."""
