"""From samples to the image tensors of a training step."""
