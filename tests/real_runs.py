"""Small runs of every method, made once and only where a test asks for them. Copy before changing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from sparsenas.__main__ import main

QUICK = ["--method.population=6", "--method.generations=2", "--method.parents=3", "--method.mutants=3"]
QUICK += ["--method.crossovers=3"]
TINY = ["--space.width=8", "--space.blocks=3", "--search.epochs=2", "--budget", "flops<=60e3", "--score.val=120"]
CELLS = ["--space=darts", "--space.width=2", "--space.cells=3", "--search.batch=256"]
CPU = ["--accelerator=cpu", "--threads=1"]

RealRun = Callable[[str], Path]
"""The folder of a run by name: spos, random, ista, ista_one_stage, dso, front or ranked."""


def make(name: str, out: Path, other: RealRun) -> None:
    """Makes a run in a folder that does not exist yet; ``other`` gives the runs that it starts from."""
    if name == "spos":
        more = ["--retrain.epochs=2", "--baselines=2", "--random-search=8", "--compare=000000"]
        command("run", "--out", out, *TINY, *QUICK, *CPU, *more)
    elif name == "random":
        command("search", "--out", out, "--method=random", "--method.evaluations=8", *TINY, *CPU)
    elif name == "ista":
        command("search", "--out", out, "--method=ista", "--search.epochs=2", *CELLS, *CPU)
    elif name == "ista_one_stage":
        norms = ["--space.closing_norms=all", "--space.affine=true", "--method.latest=0.5"]
        command("search", "--out", out, "--method=ista_one_stage", "--search.epochs=2", *CELLS, *CPU, *norms)
    elif name == "dso":
        flags = ["--space=dso", "--space.width=2", "--space.depth=1", "--search.batch=256", "--search.epochs=3"]
        method = ["--method=dso", "--method.pretrain=0.3", "--budget", "flops<=60e3"]
        command("search", "--out", out, *flags, *method, *CPU)
    elif name == "front":
        command("evolve", other("spos"), "--out", out, "--pareto=flops", "--budget", "flops<=60e3", *QUICK, *CPU)
    elif name == "ranked":
        shutil.copytree(other("spos"), out)
        scored = [json.loads(line) for line in (out / "archs.jsonl").read_text().splitlines()]
        known = {line["text"]: {"mean_acc": 50 + i} for i, line in enumerate(scored[:12])}
        (out / "table.json").write_text(json.dumps(known))
        command("rank", out, "--table", out / "table.json", "--calibration=0", "--calibration=64", *CPU)
    if not (out / "report.html").exists() or name == "front":
        command("report", out)


def command(*words: object) -> None:
    """Runs a command, which must succeed."""
    assert main([str(word) for word in words]) == 0, words
