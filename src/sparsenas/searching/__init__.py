"""From scores to the best architecture; reads and writes no files."""
