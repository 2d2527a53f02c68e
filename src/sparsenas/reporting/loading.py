"""A run folder's records as a report needs them: every file but ``config.yaml`` may be missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from sparsenas.costs.budget import Budget
from sparsenas.costs.latency import LATENCY
from sparsenas.costs.layer import COSTS
from sparsenas.errors import UserError
from sparsenas.reporting.numbers import decimals
from sparsenas.reporting.score import ShownScore
from sparsenas.rundir import records
from sparsenas.rundir.config import read_config
from sparsenas.rundir.drawing import ArchDrawing
from sparsenas.rundir.folder import Run
from sparsenas.rundir.log import EpochEnd, LogLine, StageEnd
from sparsenas.rundir.ranking import Ranked, Ranking
from sparsenas.rundir.results import Results
from sparsenas.rundir.truth import Truth


@dataclass(frozen=True)
class LoadedRun:
    """The records of a run folder; what is missing is ``None`` or empty."""

    folder: Path
    config: Mapping[str, Any]
    info: records.RunInfo | None
    space: records.SpaceInfo | None
    data: records.DataInfo | None
    log: list[LogLine]
    candidates: list[records.Scored]
    random: list[records.Scored]
    measured: list[records.MeasuredCandidate]
    finalists: list[records.Finalist]
    best: records.Best | None
    drawing: ArchDrawing | None
    front: records.Front | None
    results: Results
    ranking: Ranking | None
    ranked: list[Ranked]
    truth: Truth | None
    damaged: list[UserError]
    """Why lines of JSONL files are left out."""

    @property
    def score(self) -> ShownScore:
        """The metric by which networks are compared; the loss where no file says which."""
        unknown = records.ScoreInfo(name="loss", higher_is_better=False, shares=[])
        return ShownScore(self.data.score if self.data else unknown)

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.resolve().name

    def told(self, metrics: Mapping[str, float]) -> list[str]:
        """The score and the loss for people; the loss once where it is the score."""
        names = dict.fromkeys([self.score.info.name, "loss"])
        return [
            self.score.text(metrics) if name == self.score.info.name else decimals(metrics.get(name)) for name in names
        ]

    def flag(self, name: str) -> str:
        """The name that a flag such as ``method`` gives, with that of an opened network; of an object its class."""
        opened = self.section(name).get("net", "")
        return f"{self.given(name).removeprefix('object:')} {opened}".strip()

    def given(self, name: str) -> str:
        """The name of a flag as ``config.yaml`` has it."""
        value = self.config.get(name)
        return str(value.get("name", value.get("class_path", "?")) if isinstance(value, dict) else value or "?")

    @property
    def has_objects(self) -> bool:
        """Whether the run was given objects of Python, which only Python can give again."""
        return any(self.given(kind).startswith("object:") for kind in ("space", "data", "objective"))

    @property
    def settings(self) -> dict[str, Any]:
        """The flags of the run, with the recipe by which its network was retrained in the end."""
        tested = self.results.retrained
        return {**self.config, **({"retrain": tested.recipe} if tested and tested.recipe else {})}

    def section(self, name: str) -> Mapping[str, Any]:
        """The flags of a section such as ``score``; none where there is no such section."""
        flags = self.settings.get(name)
        return flags if isinstance(flags, Mapping) else {}

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The flags by which the found network was trained."""
        return self.section("search" if self.results.retrained and self.results.retrained.one_stage else "retrain")

    @property
    def budget_texts(self) -> list[str]:
        """The budgets of the final network: those to which its width was scaled, else those of the search."""
        given = (self.best and (self.best.scale_to or self.best.budgets)) or self.config.get("budget") or []
        return [str(text) for text in given] if isinstance(given, list) else [str(given)]

    @property
    def budgets(self) -> list[Budget]:
        """The budgets of the final network, each of one bound."""
        return self._budgets(self.budget_texts)

    @property
    def limited(self) -> list[tuple[Budget, float | None]]:
        """Each budget of the final network with what it limits: its cost, or the time by which it was chosen."""
        pairs = [(budget, self.costs.get(budget.cost)) for budget in self.budgets]
        timed = [one.slowest_ms for one in self.measured if self.best and one.arch == self.best.arch]
        if not timed or self.results.table_error is None:
            return pairs
        whole = Budget(LATENCY, at_most=self.results.table_error.budget_ms)
        return [
            (whole, timed[0]) if budget.cost == LATENCY and budget.at_most < inf else (budget, cost)
            for budget, cost in pairs
        ]

    @property
    def search_budgets(self) -> list[Budget]:
        """The budgets of the search, each of one bound."""
        return self._budgets(self.best.budgets if self.best else self.budget_texts)

    def _budgets(self, texts: Iterable[str]) -> list[Budget]:
        """None where one cannot be read."""
        costs = [*COSTS, LATENCY, *(self.space.range if self.space else ())]
        try:
            return [budget for text in texts for budget in Budget.parse_bounds(text, costs)]
        except UserError:
            return []

    @property
    def costs(self) -> Mapping[str, float]:
        """The found network's costs."""
        return self.best.costs if self.best else {}

    @property
    def how_trained(self) -> str:
        """How the weights of the final network were made."""
        tested = self.results.retrained
        if tested and tested.one_stage:
            return "trained in one stage"
        return "retrained from inherited weights" if tested and tested.inherit else "retrained"

    @property
    def done(self) -> list[StageEnd]:
        """The log lines that end a stage; of one that was repeated the last, since its result replaced the others."""
        return [*{line.stage: line for line in self.log if isinstance(line, StageEnd)}.values()]

    @property
    def training(self) -> dict[str, list[EpochEnd]]:
        """The epochs of every training, by stage."""
        stages: dict[str, list[EpochEnd]] = {}
        for line in self.log:
            if isinstance(line, EpochEnd):
                stages.setdefault(line.stage, []).append(line)
        return stages


def load_run(folder: Path) -> LoadedRun:
    """Reads a run folder. Raises ``UserError`` when it is none or a file is damaged.

    Damaged lines of JSONL files are left out, and the report says so.
    """
    run = Run(folder)
    config, bad = read_config(run), list[UserError]()
    return LoadedRun(
        folder=folder,
        config=config,
        info=run.find(records.RunInfo),
        space=run.find(records.SpaceInfo),
        data=run.find(records.DataInfo),
        log=run.log(bad.append),
        candidates=run.lines(records.ARCHS, records.Scored, bad.append),
        random=run.lines(records.RANDOM, records.Scored, bad.append),
        measured=run.lines(records.MEASURED, records.MeasuredCandidate, bad.append),
        finalists=run.lines(records.FINALISTS, records.Finalist, bad.append),
        best=run.find(records.Best),
        drawing=run.find(ArchDrawing),
        front=run.find(records.Front),
        results=run.find(Results) or Results(),
        ranking=run.find(Ranking),
        ranked=run.lines(records.RANKED, Ranked, bad.append),
        truth=run.find(Truth),
        damaged=bad,
    )
