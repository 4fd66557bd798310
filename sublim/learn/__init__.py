"""Fine-tuning and sampling: batches, masks, LoRA, generation."""
