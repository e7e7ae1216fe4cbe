"""The recipes: one folder per kind of training."""
