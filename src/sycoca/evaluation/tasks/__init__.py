"""The evaluations of ``sycoca evaluate`` and `evaluate_all`, a file each: its options, and what it needs."""
