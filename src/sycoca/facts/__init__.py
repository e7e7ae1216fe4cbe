"""What things are called and how they are read: one table per kind of thing, for all that names or shows it."""
