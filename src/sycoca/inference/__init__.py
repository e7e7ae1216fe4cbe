"""What users call: images and strings in, plain values out."""
