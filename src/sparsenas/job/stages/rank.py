"""How well a supernet ranks architectures of known accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sparsenas.core.arch import Arch
from sparsenas.errors import UserError
from sparsenas.job.stages.truth import Known
from sparsenas.job.task import Task
from sparsenas.job.trained import trained_supernet
from sparsenas.nn.tree import count
from sparsenas.objectives import Metrics
from sparsenas.objectives.objective import LOSS
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.ranking import Measure, Ranked
from sparsenas.rundir.records import RANKED
from sparsenas.rundir.seeds import seed_of
from sparsenas.searching.config import Scoring
from sparsenas.searching.evolution import Score
from sparsenas.searching.population_evaluator import Scorer
from sparsenas.searching.prior import Prior, no_prior
from sparsenas.searching.rank_correlation import agreement

BASELINES = ("flops", "params")
"""Costs that serve as rankings too; a supernet should rank better than they do."""


class Setting(NamedTuple):
    """On how many images architectures are scored; the fields of ``Ranked`` and ``Measure``."""

    calibration: int
    images: int
    val: int


def scorings(task: Task, own: Scoring, calibration: Sequence[int] | None, val: int | None) -> list[Scoring]:
    """How to score: one entry per number of calibration images. Raises ``UserError`` when there are not enough."""
    numbers = sorted(set([0, own.calibration] if calibration is None else calibration))
    wanted = own.val if val is None else val
    most = len(task.data.train), len(task.data.val)
    for flag, value, limit in [("calibration", n, most[0]) for n in numbers] + [("val", wanted, most[1])]:
        if not 0 <= value <= limit:
            raise UserError(f"--{flag}: expected 0 to {limit} images, got {value}")
    return [replace(own, calibration=number, val=wanted) for number in numbers]


def sampled(rows: int, count: int, seed: int) -> list[int]:
    """``count`` rows (0 = all), in order; a larger sample has the smaller ones in it, whose scores are then known."""
    order = np.random.default_rng(seed_of(seed, "rank")).permutation(rows)
    return sorted(int(i) for i in order[: count or rows])


def supernet_measures(run: Run, task: Task, rows: Known, settings: Sequence[Scoring], block: int) -> list[Measure]:
    """How well the score and the loss on inherited weights rank the rows, in every setting."""
    net = trained_supernet(run, task)
    net.to(task.data.device)
    measures: list[Measure] = []
    for scoring in settings:
        scorer = task.scorer(net, scoring, RunLogger(run).say)
        images = sum(count(batch) for batch in scorer.eval_batches.calibration)
        setting = Setting(scoring.calibration, images, scorer.eval_batches.examples)
        known = score_rows(run, task, scorer, rows.networks, setting, block)
        scores = [replace(scoring, by="").score(task.objective, metrics) for metrics in known]
        measures += compared_scores(rows, scores, (task.objective.score, LOSS), setting, scoring, task.prior(scoring))
    return measures


def compared_scores(
    rows: Known,
    scores: Sequence[Score],
    names: Sequence[str],
    setting: Setting,
    scoring: Scoring,
    prior: Prior = no_prior,
) -> list[Measure]:
    """How well both numbers of the scores rank the rows; also shrunk and with the prior, where ``scoring`` says so."""
    known = dict(zip(rows.networks, scores, strict=True))
    ways = {"": known}
    if scoring.shrink > 0:
        ways[", shrunk"] = replace(scoring, prior=0).adjusted(known)
    if scoring.prior > 0:
        tie = {arch: Score(score.tie) for arch, score in known.items()}
        both = (scoring.adjusted(values, prior) for values in (known, tie))
        ways[", with the prior"] = {
            arch: Score(first.value, second.value)
            for arch, first, second in zip(known, *(one.values() for one in both), strict=True)
        }
    return [
        measured
        for way, values in ways.items()
        for i, part in enumerate(names)
        for measured in measures_of(f"{part}{way}", [values[arch][i] for arch in rows.networks], rows, setting)
    ]


def score_rows(
    run: Run, task: Task, scorer: Scorer, archs: Sequence[Arch], setting: Setting, block: int
) -> list[Metrics]:
    """The metrics of ``archs``, read from rank.jsonl or computed in blocks that share long prefixes, and kept there."""
    every = run.lines(RANKED, Ranked)
    lines = [line for line in every if (line.calibration, line.images, line.val) == setting]
    known = {Arch.from_json(task.choices, line.arch): line.metrics for line in lines}
    new = sorted(set(archs) - known.keys(), key=lambda arch: tuple(arch.values()))
    if new:
        logger, title = RunLogger(run), f"rank ({setting.images} calibration images)"
        with logger.stage("rank") as counts, logger.bar(title, len(new)) as bar:
            for passes, part in enumerate((new[i : i + block] for i in range(0, len(new), block)), 1):
                scores = scorer(part, bar.within)
                known.update(zip(part, scores, strict=True))
                run.append(RANKED, [_line(setting, *pair) for pair in zip(part, scores, strict=True)])
                bar.advance(by=len(part))
                counts.data_passes = passes
                counts.keep()
            counts.evaluations = len(new)
    return [known[arch] for arch in archs]


def _line(setting: Setting, arch: Arch, metrics: Metrics) -> Ranked:
    return Ranked(**setting._asdict(), arch=arch.to_json(), text=arch.text(), metrics=metrics)


def cost_measures(task: Task, rows: Known) -> list[Measure]:
    """How well cost alone ranks the rows: the more expensive, the better."""
    costs = task.limits.table(rows.archs)
    return [measured for cost in BASELINES for measured in measures_of(cost, costs[cost].tolist(), rows)]


def measures_of(by: str, values: Sequence[float], rows: Known, setting: Setting | None = None) -> list[Measure]:
    """The agreement of values with each column of the truth, over all rows and over distinct networks."""
    some, images = rows.distinct(), {} if setting is None else setting._asdict()
    few = [values[i] for i in some]
    return [
        Measure(
            column=column,
            by=by,
            all=agreement(values, truth),
            distinct=agreement(few, [truth[i] for i in some]),
            **images,
        )
        for column, truth in rows.columns.items()
    ]
