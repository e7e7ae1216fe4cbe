"""One run from its recipe to its weights and report."""
