"""Weights folders: saving, loading, converting, averaging and publishing them."""
