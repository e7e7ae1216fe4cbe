"""Fine-tuning for classification."""
