"""The run folder on disk: its files, records, checkpoints and log. Trains nothing."""
