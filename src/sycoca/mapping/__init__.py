"""A model over a whole data set: shard in, shard out, on any number of processes and machines (docs/mapping.md)."""
