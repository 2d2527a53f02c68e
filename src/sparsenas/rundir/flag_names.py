"""The names of flags: in run folders, on the command line, in help and messages."""

from __future__ import annotations

RUN = "run"
"""The parameter that is given without the name of its flag: a run folder."""
RUNS = "runs"
"""The parameter that takes all words that are not flags: run folders."""
NAME = ".name"
"""``space.name`` is what ``--space`` gives, and ``space`` in YAML where no other flag of the space is given."""
COUNT = ".count"
"""``finalists.count`` is what ``--finalists`` gives, as ``space.name`` is what ``--space`` gives."""


def spelled(name: str) -> str:
    """A flag as help and messages write it: ``--scale-to``, ``--search.drop_path``, ``RUN``."""
    name = name.removesuffix(NAME).removesuffix(COUNT)
    if name in (RUN, RUNS):
        return RUN.upper()
    return f"--{name}" if "." in name else f"--{name.replace('_', '-')}"
