"""Task and batches of every training on image-text pairs."""
