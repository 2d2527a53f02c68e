"""A plain network as a search space: what may vary is read from its graph."""
