"""``sparsenas evolve``: search a trained supernet again, under other budgets or for a whole Pareto front."""

from __future__ import annotations

from sparsenas.job.jobs import evolve_job
from sparsenas.job.run_flags import EvolveFlags


def evolve(flags: EvolveFlags) -> None:
    """Searches the supernet of a run again, without training it, and leaves a run folder of its own.

    Scores that the first run has computed are used again, and its candidates that meet the budgets count: the best of
    all is found.
    """
    evolve_job(flags)
