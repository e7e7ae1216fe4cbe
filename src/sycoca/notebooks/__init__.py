"""Notebooks: live bars, and results as HTML in a cell."""
