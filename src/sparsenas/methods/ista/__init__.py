"""ISTA-NAS: architectures as sparse codes."""
