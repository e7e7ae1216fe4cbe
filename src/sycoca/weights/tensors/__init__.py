"""Tensors of weights by name: shapes, loading into another model, writing one by one."""
