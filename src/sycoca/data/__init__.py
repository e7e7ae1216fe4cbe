"""Where samples come from: every source yields the same record, one loader makes batches of it."""
