"""The stages of a run, one file per stage; each reads and writes the run folder."""
