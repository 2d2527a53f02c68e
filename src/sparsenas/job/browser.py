"""A page in the browser of this machine."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path


def show(page: Path) -> None:
    """Opens a page in the browser; where there is none, a line on stderr says so."""
    if not webbrowser.open(page.resolve().as_uri()):
        print(f"no browser was found; open {page} yourself", file=sys.stderr)
