"""From scores of architectures to the best one; knows no run folder."""
