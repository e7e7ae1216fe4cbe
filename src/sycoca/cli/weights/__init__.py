"""Commands that average, export and publish weights."""
