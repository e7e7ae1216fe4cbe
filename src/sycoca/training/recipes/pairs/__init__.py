"""Fine-tuning on images and captions: retrieval and captioning."""
