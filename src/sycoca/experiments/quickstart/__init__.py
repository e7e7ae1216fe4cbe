"""``sycoca quickstart``."""
