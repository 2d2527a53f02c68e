"""SPOS, single path one-shot: trains one sampled path per step, then searches by evolution."""
