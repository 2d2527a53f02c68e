"""The functions of Python: each does what the command of its name does, and takes objects where that takes names."""
