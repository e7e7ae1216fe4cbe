"""Parsing of arguments with tyro: placeholders, a table of a command's arguments, errors of one line."""
