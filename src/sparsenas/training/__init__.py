"""The two training loops: a supernet under a method, and one plain network."""
