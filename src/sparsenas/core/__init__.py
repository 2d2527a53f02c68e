"""All that the author of a search space imports: choices, the modules that run them, networks derived from them."""
