"""Outputs: what is written is checked first, held against other processes, and written whole or not at all."""
