"""Index images and search them by text or by image."""
