"""Data set and predictor in, report out."""
