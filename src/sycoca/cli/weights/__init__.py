"""Commands that turn weights into other weights or formats."""
