"""Result files and samples written to disk."""
