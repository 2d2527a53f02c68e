"""``sparsenas run``: the whole job in one run folder."""

from __future__ import annotations

from sparsenas.job.jobs import run_job
from sparsenas.job.run_flags import RunFlags


def run(flags: RunFlags) -> None:
    """Searches, retrains, evaluates, exports and reports: the whole job in one run folder.

    Without flags it searches a small space on scikit-learn's handwritten digits, which takes some minutes.
    """
    run_job(flags)
