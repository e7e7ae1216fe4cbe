"""Fine-tuning for visual question answering."""
