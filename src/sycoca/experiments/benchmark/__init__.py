"""``sycoca benchmark``."""
