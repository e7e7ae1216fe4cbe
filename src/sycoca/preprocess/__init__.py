"""From pixels and strings to tensors; used by training and by inference alike."""
