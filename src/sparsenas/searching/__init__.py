"""From scores to the best architecture: evolution, Pareto fronts, scoring of populations. Reads and writes no files."""
