"""One job from its parts, callable from Python; nothing below it knows the command line."""
