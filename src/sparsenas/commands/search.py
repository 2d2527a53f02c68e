"""``sparsenas search``: train the supernet and search it."""

from __future__ import annotations

from sparsenas.job.jobs import search_job
from sparsenas.job.run_flags import SearchFlags


def search(flags: SearchFlags) -> None:
    """Trains a supernet and finds the best architecture within the budget.

    Leaves supernet.pt, archs.jsonl (every scored architecture) and best.json in the run folder.
    """
    search_job(flags)
