"""Fine-tuning: augmentation, optimisers, checkpoints."""
