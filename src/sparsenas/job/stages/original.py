"""The network that was opened, before it is searched: how good it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from sparsenas.costs import Budget
from sparsenas.costs.latency import LATENCY
from sparsenas.costs.layer import format_cost
from sparsenas.job.task import SIZE, Task
from sparsenas.objectives.words import metric_words, score_told, told
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.searching.config import Scoring
from sparsenas.training.evaluation import evaluate_batches

LITTLE = 0.1
"""Up to this part of the way from a guess to perfection, and up to twice a guess, a score is hardly one."""
REASONS = (
    "either its weights are not trained or not loaded (on the command line `--space.weights FILE` loads them), "
    "or inputs are prepared otherwise than in its training"
)
"""Why an original may be hardly better than a guess."""


def tell_original(run: Run, task: Task, scoring: Scoring, trains: bool) -> str:
    """Prints the score of the original on validation examples, and returns a warning.

    There is one where candidates are scored on its weights, which are hardly better than a guess.
    """
    if task.opened is None:
        return ""
    logger, examples = RunLogger(run), task.eval_batches(replace(scoring, calibration=0))
    metrics = evaluate_batches(task.original(), examples.val_batches, task.objective)
    logger.say(f"original: {score_told(task.objective, metrics)} on {examples.examples:,} validation examples")
    if trains or not _guesses(task, metrics[task.objective.score]):
        return ""
    score = task.objective.score
    its, guess = (told(task.objective, score, value) for value in (metrics[score], _guess(task)))
    warning = (
        f"candidates are scored on the weights of the original, whose {metric_words(score)}, {its}, is hardly better "
        f"than that of a guess, {guess}: {REASONS}"
    )
    logger.note("search", warning)
    return warning


def share_told(costs: Mapping[str, float], original: Mapping[str, float], budgets: Iterable[Budget] = ()) -> str:
    """The costs of a network with budgets, else its multiply-adds, and their shares of the original's."""
    limited = dict.fromkeys(budget.cost for budget in budgets if budget.cost in original and budget.cost != LATENCY)
    words = {name: "multiply-adds" if name == SIZE else name for name in limited or [SIZE]}
    shares = (f"{format_cost(costs[n])} {word}, {costs[n] / (original[n] or 1):.1%}" for n, word in words.items())
    return f"{'; '.join(shares)} of the original"


def _guess(task: Task) -> float:
    """The share of right answers of a guess; 0 where the score is no share, or there are no classes."""
    known = task.objective.score in task.objective.shares and len(task.data.classes) > 1
    return 1 / len(task.data.classes) if known else 0


def _guesses(task: Task, score: float) -> bool:
    guess = _guess(task)
    return guess > 0 and score <= min(2 * guess, guess + LITTLE * (1 - guess))
