"""Cached features: what a frozen image encoder computes of the training images, once."""
