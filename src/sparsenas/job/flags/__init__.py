"""Flags: from typed signatures to values, from words, YAML files and run folders."""
