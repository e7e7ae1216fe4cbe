"""Samples in tar files (webdataset and img2dataset layout), found through a packed index."""
