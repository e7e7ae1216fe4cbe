"""Task and batches that pretraining and fine-tuning on image-caption pairs share."""
