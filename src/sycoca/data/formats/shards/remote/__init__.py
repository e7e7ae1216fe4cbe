"""Shards at addresses: requests, the cache of what was fetched, and fetching ahead of training."""
