"""Figures, curves and HTML reports."""
