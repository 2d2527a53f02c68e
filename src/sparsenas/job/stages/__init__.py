"""The stages of a run; each reads and writes the run folder."""
