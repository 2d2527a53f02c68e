"""Plain PyTorch layers and tools; nothing here knows of choices."""
