"""Hard-negative benchmarks: what a model prefers with the image, beside what it prefers without it."""
