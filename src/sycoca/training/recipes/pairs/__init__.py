"""Fine-tuning for retrieval and captioning, on image-caption pairs."""
