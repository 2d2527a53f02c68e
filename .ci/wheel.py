"""Builds the wheel, installs it in a clean environment, and runs a small job there.

``python .ci/wheel.py`` takes the newest versions that pyproject.toml allows; further words go to pip, as in
``python .ci/wheel.py -c constraints.txt`` or ``python .ci/wheel.py torch==2.7.0``. The wheel lies in ``build/wheel``
afterwards. Needs the package ``build``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
WHEELS = ROOT / "build" / "wheel"
JOB = ["run", "--space.width=8", "--space.blocks=2", "--search.epochs=1", "--retrain.epochs=1", "--baselines=1"]
JOB += ["--budget=flops<=50%", "--method.population=4", "--method.generations=1", "--method.parents=2"]
JOB += ["--method.mutants=2", "--method.crossovers=2", "--score.val=60", "--int8"]
JOB += ["--accelerator=cpu", "--threads=1"]
FILES = ("net.pt", "net.pt2", "net.onnx", "net.int8.onnx", "best.json", "report.html")


def main(options: list[str]) -> None:
    """Raises ``CalledProcessError`` where a step fails, ``SystemExit`` where the job leaves a file out."""
    wheel = build()
    with tempfile.TemporaryDirectory() as folder:
        python = environment(Path(folder) / "clean")
        call(python, "-m", "pip", "install", "--quiet", *options, f"{wheel}[onnx]")
        call(python, "-m", "sparsenas", "--version", cwd=folder)
        call(python, "-m", "sparsenas", *JOB, "--out=run", cwd=folder)
        missing = [name for name in FILES if not (Path(folder) / "run" / name).exists()]
    if missing:
        raise SystemExit(f"{wheel.name}: the job wrote no {', '.join(missing)}")
    print(f"{wheel.name}: installed and run in a clean environment")


def build() -> Path:
    """The wheel of this working tree, built from its source distribution: nothing of an earlier build gets in."""
    shutil.rmtree(WHEELS, ignore_errors=True)
    call(sys.executable, "-m", "build", "--outdir", str(WHEELS), str(ROOT))
    return next(WHEELS.glob("*.whl"))


def environment(folder: Path) -> str:
    """The interpreter of a new, empty environment."""
    venv.create(folder, with_pip=True)
    return str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def call(*words: str, cwd: str | None = None) -> None:
    """Runs a command without the paths of this working tree."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(words, cwd=cwd, env=clean, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
