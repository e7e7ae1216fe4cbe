"""Data sets of Hugging Face, from the Hub, from disk and from Parquet files."""
