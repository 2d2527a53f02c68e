"""What is shipped: the wheel, its metadata, what an import costs, and the files of a public project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest
import yaml

from sparsenas.errors import EXTRAS

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "sparsenas"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of a copy of this tree, built without the internet."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("src", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    program = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", program, str(tree)], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(tree.glob("*.whl")))


def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel: zipfile.ZipFile) -> None:
    files = {path.relative_to(ROOT / "src").as_posix() for path in SRC.rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == files
    assert {"sparsenas/py.typed", "sparsenas/__init__.pyi", "sparsenas/job/recipes/spos_imagenet.yaml"} <= packed


SMALL_JOB = """
import sys, sparsenas
from importlib.metadata import entry_points
assert sparsenas.__file__.startswith(sys.argv[1]), sparsenas.__file__
(script,) = entry_points(group="console_scripts", name="sparsenas")
main = script.load()
assert main(["--help"]) == 0
assert main(["search", "--out=run", *sys.argv[2:]]) == main(["report", "run"]) == 0
"""
SMALL = ["--space.width=4", "--space.blocks=1", "--search.epochs=1", "--method=random", "--method.evaluations=2"]
SMALL += ["--score.val=60", "--accelerator=cpu", "--threads=1"]


def test_the_installed_wheel_runs_a_small_job(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """In an empty folder, beside the packages of this environment; ``make wheel`` makes an environment of its own."""
    installed, work = tmp_path / "installed", tmp_path / "work"
    work.mkdir()
    words = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(installed)]
    called(["-m", "pip", *words, str(wheel.filename)], work, installed)
    assert "usage: sparsenas" in called(["-c", SMALL_JOB, str(installed), *SMALL], work, installed)
    assert (work / "run" / "best.json").exists()
    assert (work / "run" / "report.html").exists()


def called(words: list[str], folder: Path, packages: Path) -> str:
    """What Python prints in a folder, with a folder of packages before all others."""
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def metadata(wheel: zipfile.ZipFile) -> Message:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_string(wheel.read(name).decode())


def test_the_metadata_are_whole(wheel: zipfile.ZipFile) -> None:
    told = metadata(wheel)
    assert told["Name"] == "sparsenas"
    assert told["Author"] == "The sparsenas authors"
    assert told["License-Expression"] == "Apache-2.0"
    assert told.get_payload().lstrip().startswith("# sparsenas")  # type: ignore[union-attr]
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_extras_that_messages_and_pages_name_exist(wheel: zipfile.ZipFile) -> None:
    extras = set(metadata(wheel).get_all("Provides-Extra", []))
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.*")]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    named = {extra for text in texts for group in re.findall(r"pip install '?(?:\.|sparsenas)\[([\w,]+)\]", text)
             for extra in group.split(",")}  # fmt: skip
    assert {*EXTRAS, *named} <= extras


def test_one_version(wheel: zipfile.ZipFile) -> None:
    version = metadata(wheel)["Version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version
    assert f"## [{version}] - {citation['date-released']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


def test_imports_wait_for_their_use() -> None:
    """Kornia augments, plotly draws: neither is needed to import, or for any help."""
    program = """
import sys
import sparsenas
from sparsenas.__main__ import main
assert main(["--help"]) == 0
heavy = {"torch", "lightning_fabric", "kornia", "plotly", "sklearn", "scipy", "jinja2"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert main(["run", "--help"]) == 0
assert not {"kornia", "plotly"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_workflow_runs_what_exists() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    targets = {target for step in steps for target in re.findall(r"make (\w+)", step)}
    assert targets
    assert targets <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    scripts = {path for step in steps for path in re.findall(r"python (\S+\.py)", step)}
    assert scripts
    assert not [path for path in scripts if not (ROOT / path).exists()]
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.10", "3.11", "3.12", "3.13", "3.14"]
    assert len(matrix["os"]) == 3
    (lowest,) = re.findall(r'"torch>=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (row,) = workflow["jobs"]["wheel"]["strategy"]["matrix"]["include"]
    assert row["torch"] == f"torch=={lowest}.0"


@pytest.mark.parametrize("template", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.md")), ids=lambda p: p.stem)
def test_templates_of_issues_have_a_head(template: Path) -> None:
    head = yaml.safe_load(template.read_text(encoding="utf-8").split("---\n")[1])
    assert {"name", "about", "labels"} <= set(head)
