"""The training loops: of a supernet under a method, and of one plain network."""
