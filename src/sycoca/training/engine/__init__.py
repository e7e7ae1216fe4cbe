"""The training engine: loop, update, runtime. It knows no recipe."""
