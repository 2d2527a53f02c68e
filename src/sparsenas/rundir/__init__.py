"""The run folder on disk: files, records, checkpoints and log; trains nothing."""
