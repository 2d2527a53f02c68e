"""Notes about data, for the user."""

import sys


def tell(note: str) -> None:
    """Prints a line to stderr."""
    print(f"sparsenas: {note}", file=sys.stderr)
