"""The command line: arguments in, one call, an answer out."""
