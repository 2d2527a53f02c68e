"""``sparsenas retrain``: train the found network, and others beside it."""

from __future__ import annotations

from sparsenas.job.jobs import retrain_job
from sparsenas.job.run_flags import RetrainFlags


def retrain(flags: RetrainFlags) -> None:
    """Trains the found network on all images but the test images; leaves net.pt.

    Overwrites an earlier retraining, and removes its exported files and the results of the networks trained beside it.
    Resumes a retraining that was interrupted.
    """
    retrain_job(flags)
