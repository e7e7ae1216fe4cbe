"""The built-in scenes, generated from a seed."""
