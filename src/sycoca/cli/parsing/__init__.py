"""Words to arguments: placeholders, the table of a command's arguments, tyro, and errors of one line."""
