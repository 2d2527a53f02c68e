"""The table of ``head_to_head.py``: means and deviations of test accuracies, in Markdown, and gaps with their p.

python table.py FOLDER
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scipy import stats

Line = dict[str, Any]


def lines(path: Path) -> list[Line]:
    """Of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def spread(numbers: Iterable[float]) -> str:
    """Mean, deviation and number."""
    found = list(numbers)
    deviation = f" +- {statistics.stdev(found):.2f}" if len(found) > 1 else ""
    return f"{statistics.mean(found):.2f}{deviation} ({len(found)})"


def by_tool(found: list[Line]) -> dict[str, list[Line]]:
    """The lines of each tool, the best first."""
    of: dict[str, list[Line]] = defaultdict(list)
    for line in found:
        of["random" if line["name"].startswith("random") else line["name"]].append(line)
    return dict(sorted(of.items(), key=lambda item: -statistics.mean(line["test"] for line in item[1])))


def rows(of: dict[str, list[Line]]) -> Iterable[str]:
    """One for each tool."""
    for name, some in of.items():
        used = ", ".join(sorted({f"{100 * line['used']:.1f}" for line in some}))
        seconds = statistics.mean(line.get("search_s", 0.0) for line in some)
        training = statistics.mean(line.get("train_s", 0.0) for line in some)
        took = f"{training:.0f} + {seconds:.0f}" if training else f"{seconds:.0f}"
        params = statistics.mean(line["params"] for line in some)
        before = spread(line["inherited_val"] for line in some)
        yield f"| {name} | {spread(line['test'] for line in some)} | {before} | {used} | {params:,.0f} | {took} |"


def gaps(of: dict[str, list[Line]]) -> Iterable[str]:
    """How far the networks found by sensitivities are ahead of those of other tools, by Welch's t-test.

    Without a teacher, since the others have none.
    """
    for ours in (name for name in of if "sensitivity" in name and not name.endswith("taught")):
        for other in (name for name in of if not name.startswith("sparsenas")):
            a, b = ([line["test"] for line in of[name]] for name in (ours, other))
            p = f"{stats.ttest_ind(a, b, equal_var=False).pvalue:.2g}" if min(len(a), len(b)) > 1 else ""
            yield f"| {ours} | {other} | {statistics.mean(a) - statistics.mean(b):+.2f} | {p} |"


def main(folder: Path) -> None:
    """Prints one table for each network and budget."""
    for line in lines(folder / "checkpoints.jsonl"):
        print(
            f"{line['net']}: trained to {line['test']:.2f} % on test images, {line['val']:.2f} % on validation images"
        )
    found = lines(folder / "trainings.jsonl")
    for net, budget in sorted({(line["net"], line["budget"]) for line in found}):
        print(f"\n**{net}, {100 * budget:.0f} % of the multiply-adds**\n")
        of = by_tool([line for line in found if (line["net"], line["budget"]) == (net, budget)])
        print("| tool | test accuracy, % | validation accuracy before | share used, % | parameters | search, s |")
        print("|---|---|---|---|---|---|")
        print("\n".join(rows(of)))
        print("\n| ours | other | gap, points | p |")
        print("|---|---|---|---|")
        print("\n".join(gaps(of)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
