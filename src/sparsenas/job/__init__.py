"""One job from its parts, callable from Python; no package before it knows the command line."""
