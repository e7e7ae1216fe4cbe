"""``sycoca map``: a model over a whole data set, shard in, shard out."""
