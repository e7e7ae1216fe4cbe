"""Reading of folders that transformers saved."""
