"""DSO-NAS: pruning a completely connected network."""
