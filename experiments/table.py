"""The table of all experiments, from raw results beside this file.

    python experiments/table.py                     writes the table into experiments/README.md, parts of it into PARTS
    python experiments/table.py add NAME RUN...     appends run folders to experiments/results/NAME.jsonl first

A line of ``results/*.jsonl`` is one seed of one experiment, a JSON object with the fields of ``Result``. Lines with the
same space, data, method, budget and setting are one row of the table; their seeds differ. Accuracies are shares from 0
to 1 on test data. ``add`` reads run folders that have finished, of ``sparsenas run`` or with ``--table``; the rest is
written by hand or by the script of an experiment.
"""

from __future__ import annotations

import functools
import json
import math
import operator
import re
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from sparsenas.searching.chance import Gap, gap

HERE = Path(__file__).parent
ROOT = HERE.parent
BEGIN, END = "<!-- table -->\n", "<!-- end of the table -->\n"
PARTS = {"README.md": "", **{f"docs/papers/{method}.md": method for method in ("spos", "ista", "dso")}}
"""Pages that have a short table between the same marks: of one method, or of all."""
SHORT = (0, 1, 3, 4, 5, 6)
"""The columns of a short table."""
SEARCH = ("supernet", "evolution", "random search", "finalists", "finalist trainings")
"""The stages of a run that are the cost of its search."""


class Result(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One seed of one experiment."""

    space: str
    """With the flags that are not the default, as ``nasbench201, width 8``."""
    data: str
    """Data set, and part or size where not all of it, as ``cifar10 at 16x16``."""
    method: str
    """Name of the method or recipe."""
    budget: str = ""
    """As given to the search; empty where there is none."""
    setting: str = ""
    """What else tells this experiment from another one in a few words."""
    seed: int
    arch: str
    """The found architecture as compact text, or in words."""
    found: float
    """Its accuracy."""
    random: list[float]
    """Accuracies of random architectures of equal cost, trained in the same way or read from the same table. A list
    that several seeds share is given with each of them, and counts once."""
    accuracy: str
    """Where accuracies come from: ``trained`` here, or the ``table`` of a benchmark."""
    costs: dict[str, float]
    """Exact costs of the found architecture: flops, params."""
    within: float
    """Random architectures cost the same within this share."""
    better: float | None = None
    """Share of the architectures within the budget that have a higher accuracy; null where nobody knows."""
    seconds: float | None = None
    """Of the search, without the training of what it found: one core, unless the setting says otherwise."""
    images: int | None = None
    """Training images that the search took, all epochs together."""


def read(folder: Path) -> list[Result]:
    """The lines of all files of a folder; raises ``ValueError`` for a seed that is given twice."""
    results = [
        msgspec.json.decode(line, type=Result)
        for file in sorted(folder.glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    for row, same in rows(results).items():
        seeds = [result.seed for result in same]
        if len(seeds) != len({*seeds}):
            raise ValueError(f"{', '.join(filter(None, row))}: a seed is given twice: {seeds}")
    return results


def rows(results: Iterable[Result]) -> dict[tuple[str, ...], list[Result]]:
    """The results of each row, in the order of the files."""
    found = defaultdict(list)
    for result in results:
        found[result.space, result.data, result.method, result.budget, result.setting].append(result)
    return found


def table(results: Iterable[Result], columns: Sequence[int] = range(10)) -> str:
    """The table in Markdown, or some columns of it; accuracies and gaps in percent."""
    head = ["space; data", "method", "budget", "seeds", "found", "random, equal cost", "gap", "p", "better", "search"]
    every = [head, ["---"] * len(head), *(_cells(row, same) for row, same in rows(results).items())]
    return "".join(f"| {' | '.join(cells[i] for i in columns)} |\n" for cells in every)


def short_table(results: Iterable[Result], method: str = "") -> str:
    """The short table of one method, or of all; experiments of a single seed, which have no interval, are left out."""
    several = [same for (_, _, by, *_), same in rows(results).items() if len(same) > 1 and method in ("", by)]
    return table([one for same in several for one in same], SHORT)


def _cells(row: tuple[str, ...], same: Sequence[Result]) -> list[str]:
    space, data, method, budget, setting = row
    found = [result.found for result in same]
    random = _random(same)
    difference = gap(found, random) if random else None
    better = [result.better for result in same if result.better is not None]
    method += f" ({setting})" if setting else ""
    sources = "/".join(sorted({result.accuracy for result in same}))
    return [
        f"`{space}`; {data}, {sources}",
        method,
        f"`{budget}`" if budget else "none",
        str(len(same)),
        _spread(found),
        f"{_spread(random)}, n {len(random)}" if random else "none",
        _interval(difference) if difference else "",
        "" if difference is None or difference.p is None else f"{difference.p:.2g}",
        f"{100 * statistics.mean(better):.1f} %" if better else "",
        _cost(same),
    ]


def _random(same: Sequence[Result]) -> list[float]:
    """The random architectures of all seeds: rows of a table that several seeds share, and equal lists, count once."""
    if all(result.accuracy == "table" for result in same):
        return list(functools.reduce(operator.or_, (Counter(result.random) for result in same)).elements())
    return [x for shared in {tuple(result.random): None for result in same} for x in shared]


def _spread(values: Sequence[float]) -> str:
    mean = f"{100 * statistics.mean(values):.2f}"
    return f"{mean} ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else mean


def _interval(difference: Gap) -> str:
    told = f"{100 * difference.mean:+.2f}"
    if difference.low is None or difference.high is None:
        return told
    return f"{told} ({100 * difference.low:+.2f} to {100 * difference.high:+.2f})"


def _cost(same: Sequence[Result]) -> str:
    seconds = [result.seconds for result in same if result.seconds is not None]
    images = [result.images for result in same if result.images is not None]
    told = [f"{statistics.mean(seconds) / 60:.0f} min"] if seconds else []
    return ", ".join(told + ([f"{statistics.mean(images) / 1e6:.2f} M images"] if images else []))


def from_run(folder: Path) -> Result:
    """The result of a finished run folder.

    That is the true accuracy by the first column of the table that the run was given (``--table``), beside all that
    cost the same; else that of the retrained network, beside the random ones that were trained like it.
    """
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    best, split = (json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("best", "split"))
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    stages = [line for line in log if line["event"] == "done" and line["stage"] in SEARCH]
    epochs = sum(line["event"] == "epoch" and line["stage"] == "supernet" for line in log)
    if (folder / "truth.json").exists():
        truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
        first, within, accuracy = truth["standings"][0], truth["within"], "table"
        found, random = first["accuracy"], first["equal_cost"]
        better = (first["legal"]["rank"] - 1) / first["legal"]["of"]
    else:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        found, better, accuracy = results["retrained"]["metrics"]["accuracy"], None, "trained"
        others = results.get("baselines", [])
        random, within = [other["metrics"]["accuracy"] for other in others], _within(best, others)
    return Result(
        space=config["space"]["name"],
        data=config["data"]["name"],
        method=config["method"]["name"],
        budget=", ".join(config["budget"]),
        seed=config["seed"],
        arch=best["text"],
        found=found,
        random=random,
        accuracy=accuracy,
        costs={name: best["costs"][name] for name in ("flops", "params")},
        within=within,
        better=better,
        seconds=sum(line["seconds"] for line in stages),
        images=epochs * split["train"],
    )


def _within(best: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> float:
    """By which share the cost of random architectures differs at most: that of the first budget, else of parameters."""
    cost = re.split("[<>=]", best["budgets"][0])[0].strip() if best["budgets"] else "params"
    shares = [abs(other["costs"][cost] / best["costs"][cost] - 1) for other in others]
    return math.ceil(100 * max(shares, default=0)) / 100


def main(words: Sequence[str]) -> None:
    """Adds run folders if any are named, and writes the tables."""
    results = HERE / "results"
    if words and words[0] == "add":
        lines = [msgspec.json.encode(from_run(Path(folder))).decode() + "\n" for folder in words[2:]]
        with open(results / f"{words[1]}.jsonl", "a", encoding="utf-8") as file:
            file.writelines(lines)
    known = read(results)
    _write(HERE / "README.md", table(known))
    for page, method in PARTS.items():
        _write(ROOT / page, short_table(known, method))


def _write(page: Path, text: str) -> None:
    """Puts a table between the marks of a page."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(before + BEGIN + text + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
