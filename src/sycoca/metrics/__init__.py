"""Metrics computed from arrays and texts; no model, no data sets."""
