"""Data sources and the loader: all sources yield the same record, and one loader batches them."""
