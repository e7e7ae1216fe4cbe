"""Conversion of other projects' weights: safe reading, tables of tensor names, and options that files do not state."""
