"""One job from its parts: what it is about, and its stages. Nothing below knows command-line flags."""
