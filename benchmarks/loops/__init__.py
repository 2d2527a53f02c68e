"""What the benchmarks share: cases, plain loops, and timing in turn."""
