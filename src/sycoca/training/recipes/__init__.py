"""One folder per kind of training."""
