"""Files of benchmarks and of human judgments, one reader each; every fault is a ValueError that names the entry."""
