"""The engine: one loop for every task."""
