"""Budgets of latency, decided by measurement: the best candidates run whole, and the found one keeps the budget."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from functools import cached_property

from msgspec import convert
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.costs.ends import smallest_and_largest
from sparsenas.costs.latency import LATENCY, Timing
from sparsenas.errors import UserError
from sparsenas.job.flag_groups import Finalists
from sparsenas.job.stages.latency import engine_of
from sparsenas.job.task import Task
from sparsenas.objectives import Metrics
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.records import MEASURED, Best, MeasuredCandidate, MeasuredLargest
from sparsenas.rundir.results import TableError, update_results
from sparsenas.timing import Checked, Timer, plain_network, using_threads, verdict

ROUNDS = 3
"""So many times networks are timed, all of a turn together; the budget is to be kept each time."""


def check_measured(flags: Finalists, run: Run, task: Task) -> None:
    """Tries, before any training, to measure a network. Raises ``UserError``, also for the table of another machine."""
    if run.has(Best.FILE) or not measures(flags, task):
        return
    try:
        measurer = Measurer(run, task, flags)
        measurer.engine.network(measurer.network(task.limits.start), task.data.shape)
    except UserError as error:
        raise UserError(
            f"--latency: {error}; expected a table that `sparsenas latency` made here, or --finalists.measure 0, with "
            "which the table alone decides"
        ) from error


def measures(flags: Finalists, task: Task) -> bool:
    """Whether candidates are measured: latency has an upper bound, and the table alone shall not decide."""
    return flags.measure > 0 and bound_of(task) < math.inf


def bound_of(task: Task) -> float:
    """The most milliseconds that the budgets allow by the table."""
    return min((budget.at_most for budget in task.limits.budgets if budget.cost == LATENCY), default=math.inf)


def measured_first(
    run: Run, task: Task, flags: Finalists, order: Sequence[Arch], known: Mapping[Arch, Metrics]
) -> tuple[list[Arch], str]:
    """The candidates of which one is to be found, best first, and a warning.

    Where latency has an upper bound, these are candidates that keep it when they run whole, as many as are trained
    then. Without any it is the fastest one of those measured, and the warning says by how much it is too slow.

    Args:
        run: measured.jsonl keeps the times; those it has are not taken again.
        task: its latency table says how times are taken.
        flags: how many candidates take turns, and how many are wanted.
        order: scored architectures that keep the budget by the table, best first.
        known: their metrics.
    """
    if not measures(flags, task):
        return list(order), ""
    measurer, table = Measurer(run, task, flags), _table_ms(task, order)
    bound = measurer.bound
    logger, done, wanted = RunLogger(run), dict[Arch, MeasuredCandidate](), max(1, flags.count)
    with logger.stage("latency finalists") as counts, logger.bar("latency", len(order)) as bar:
        while len(_within(done)) < wanted and (turn := next_turn(order, table, done, bound, measurer.size)):
            done |= measurer.measure(turn, table, known)
            bar.advance(f"{len(_within(done))} within {bound:g} ms", len(turn))
            counts.keep()
        counts.evaluations = len(done)
    within = _within(done)
    error = verdict([Checked(m.text, m.table_ms, Timing(m.measured_ms, m.spread_ms)) for m in done.values()])
    update_results(run, table_error=convert({**error, "within": len(within), "budget_ms": bound}, TableError))
    if within:
        return [arch for arch in order if arch in within], ""
    fastest = min(done, key=lambda arch: done[arch].slowest_ms)
    warning = (
        f"none of {len(done)} candidates measured whole keeps latency_ms<={bound:g}; the fastest takes "
        f"{done[fastest].slowest_ms:.4g} ms, {done[fastest].slowest_ms / bound - 1:.1%} more"
    )
    logger.note("latency finalists", warning)
    return [fastest], warning


def next_turn(
    order: Sequence[Arch], table: Mapping[Arch, float], done: Mapping[Arch, MeasuredCandidate], bound: float, size: int
) -> list[Arch]:
    """The candidates to be measured next.

    The best ones first. Then the best of those that are within the budget once the table's sums are corrected by the
    median ratio seen so far. Where there are none, the cheapest ones, once.
    """
    left = [arch for arch in order if arch not in done]
    if not done or not left:
        return left[:size]
    ratio = statistics.median(line.slowest_ms / max(line.table_ms, 1e-9) for line in done.values())
    if likely := [arch for arch in left if table[arch] * ratio <= bound]:
        return likely[:size]
    cheapest = sorted(order, key=lambda arch: table[arch])
    return [] if cheapest[0] in done else [arch for arch in cheapest if arch not in done][:size]


def _within(done: Mapping[Arch, MeasuredCandidate]) -> list[Arch]:
    return [arch for arch, line in done.items() if line.within]


def _table_ms(task: Task, archs: Sequence[Arch]) -> dict[Arch, float]:
    return dict(zip(archs, task.limits.table(archs)[LATENCY].tolist(), strict=True))


class Measurer:
    """Measures candidates whole, as the run's table was measured."""

    def __init__(self, run: Run, task: Task, flags: Finalists) -> None:
        """Raises ``UserError`` where this is another machine than that of the table."""
        assert task.latency is not None
        self.run, self.task = run, task
        self.settings = task.latency.settings
        self.engine = engine_of(task.latency)
        self.size = max(flags.measure, flags.count)
        """Candidates that take turns."""
        self._net = task.network("supernet", task.target).cpu()

    @cached_property
    def bound(self) -> float:
        """The most milliseconds of a network that runs: a percentage is one of the largest network's measured time."""
        upper = [bound for bound in self.task.bounds if bound.cost == LATENCY and bound.relation == "<="]
        if not any(bound.percent for bound in upper):
            return bound_of(self.task)
        largest: MeasuredLargest = self.run.find(MeasuredLargest) or self._measure_largest()
        return float(min(bound.budget({LATENCY: largest.measured_ms}).at_most for bound in upper))

    def _measure_largest(self) -> MeasuredLargest:
        arch = smallest_and_largest(self.task.limits.table)[1]
        rounds = self.run.do(lambda: self._rounds([arch]))
        measured_ms = statistics.median(timings[0].median_ms for timings in rounds)
        largest = MeasuredLargest(table_ms=self.task.costs(arch)[LATENCY], measured_ms=measured_ms)
        self.run.write(largest)
        RunLogger(self.run).say(
            f"latency in percent: the largest network takes {measured_ms:.4g} ms when it runs, "
            f"{largest.table_ms:.4g} ms by the table"
        )
        return largest

    def network(self, arch: Arch) -> nn.Module:
        """The network of an architecture as it is deployed, on weights that do not matter."""
        return plain_network(self._net, arch)

    def measure(
        self, archs: Sequence[Arch], table: Mapping[Arch, float], known: Mapping[Arch, Metrics]
    ) -> dict[Arch, MeasuredCandidate]:
        """A line of measured.jsonl for each architecture; those that the file lacks are measured in turn."""
        lines = {
            Arch.from_json(self.task.choices, line.arch): line for line in self.run.lines(MEASURED, MeasuredCandidate)
        }
        if fresh := [arch for arch in archs if arch not in lines]:
            rounds = self.run.do(lambda: self._rounds(fresh))
            made = {
                arch: MeasuredCandidate(
                    arch=arch.to_json(),
                    text=arch.text(),
                    metrics=known[arch],
                    table_ms=table[arch],
                    rounds_ms=[timings[i].median_ms for timings in rounds],
                    spread_ms=statistics.median(timings[i].spread_ms for timings in rounds),
                    within=all(timings[i].median_ms <= self.bound for timings in rounds),
                )
                for i, arch in enumerate(fresh)
            }
            self.run.append(MEASURED, made.values())
            lines |= made
        return {arch: lines[arch] for arch in archs}

    def _rounds(self, archs: Sequence[Arch]) -> list[list[Timing]]:
        with using_threads(self.settings.threads):
            works = [self.engine.network(self.network(arch), self.task.data.shape) for arch in archs]
            return [Timer.of(self.settings)(works) for _ in range(ROUNDS)]
