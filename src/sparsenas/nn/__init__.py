"""Plain PyTorch layers and tools that know nothing of choices."""
