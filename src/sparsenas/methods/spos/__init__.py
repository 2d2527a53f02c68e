"""Single path one-shot (SPOS): uniform sampling, then evolution."""
