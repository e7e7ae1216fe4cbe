"""Commands that compare reports and time the library."""
