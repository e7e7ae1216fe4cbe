"""Weights folders on disk."""
