"""Test accuracies of several runs alike: of the found networks and of the random ones beside them.

    python experiments/summary.py runs/twostage*

Prints means, standard deviations and sizes; what belongs together are runs of one command with several seeds.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any


def shown(entries: list[dict[str, Any]]) -> str:
    """Mean and deviation of accuracies in percent, and the range of sizes."""
    accuracies = [100 * entry["metrics"]["accuracy"] for entry in entries]
    sizes = [entry["costs"]["params"] for entry in entries]
    spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
    return (
        f"{statistics.mean(accuracies):.2f} +- {spread:.2f} ({len(entries)} networks, {min(sizes):,} to {max(sizes):,})"
    )


def main(folders: list[str]) -> None:
    """Reads the folders that have results."""
    found, random, seconds = [], [], []
    for folder in map(Path, folders):
        if not (folder / "report.html").exists():
            print(f"{folder}: not finished, left out")
            continue
        results = json.loads((folder / "results.json").read_text())
        best = json.loads((folder / "best.json").read_text())
        found.append({**results["retrained"], "costs": best["costs"]})
        random += results.get("baselines", [])
        log = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
        seconds.append(sum(line.get("seconds", 0) for line in log))
    print(f"found   {shown(found)}")
    if random:
        print(f"random  {shown(random)}")
    print(f"seconds of a run, all stages: {min(seconds):.0f} to {max(seconds):.0f}")


if __name__ == "__main__":
    main(sys.argv[1:])
