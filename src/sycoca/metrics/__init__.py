"""Numbers from arrays; no model, no data."""
