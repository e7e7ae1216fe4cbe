"""One reader per data format."""
