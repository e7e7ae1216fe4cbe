"""Optimizer, schedule, gradient clipping, weight average."""
