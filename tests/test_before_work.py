"""What a command needs is checked before it works, and one that fails before its work leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from tests.real_runs import CPU, QUICK, RealRun
from tests.test_cli import fails

from sparsenas.__main__ import main
from sparsenas.errors import EXTRAS, PACKAGES
from sparsenas.job.folder import new_folder
from sparsenas.rundir.log import LOG

SRC = Path(__file__).parent.parent / "src"


def lacking(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Makes imports of these packages fail, as where they are not installed."""
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        monkeypatch.delitem(sys.modules, name)
    for name in packages:
        monkeypatch.setitem(sys.modules, name, None)


def test_the_names_of_packages_are_those_of_the_project() -> None:
    listed = requires("sparsenas") or []
    named = [(re.split("[><=!~; ]", one)[0], one) for one in listed]
    for extra, packages in EXTRAS.items():
        assert set(packages) == {name.replace("-", "_") for name, one in named if f'extra == "{extra}"' in one}
    assert set(PACKAGES.values()) == {name for name, one in named if "extra" not in one} - {"lazy-loader"}


FRONT, LATENCY = ["evolve", "RUN", "--pareto=flops", "--out=OUT"], ["latency", "--engine=onnxruntime", "--out=OUT"]
TABLES = ["search", "--data=parquet", "--data.root=OUT/../..", "--out=OUT"]


@pytest.mark.parametrize(
    ("missing", "told", "words"),
    [
        ("pymoo", "--pareto: needs pymoo, not installed: pip install 'sparsenas[pareto]'", FRONT),
        ("moocore", "--pareto: needs moocore,", FRONT),
        ("onnxscript", "run: needs onnxscript, not installed: pip install 'sparsenas[onnx]'", ["run", "--out=OUT"]),
        ("onnx onnxruntime", "run: needs onnx, onnxruntime, not", ["run", "--out=OUT"]),
        ("onnxscript", "export: needs onnxscript", ["export", "RUN"]),
        ("onnxruntime", "net.onnx: needs onnxruntime", ["evaluate", "RUN", "--onnx"]),
        ("onnx", "--engine onnxruntime: needs onnx,", LATENCY),
        ("datasets", "--data parquet: needs datasets, not installed: pip install 'sparsenas[images]'", TABLES),
        ("pyarrow", "--data parquet: needs pyarrow,", TABLES),
        ("kornia", "needs kornia, not installed: pip install kornia", ["search", "--out=OUT"]),
        ("sklearn", "needs sklearn, not installed: pip install scikit-learn", ["search", "--out=OUT"]),
    ],
)
def test_missing_packages_are_told_before_any_work(
    missing: str, told: str, words: list[str], real_run: RealRun, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = real_run("spos")
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    (tmp_path / "train-0.parquet").touch()
    out = tmp_path / "some" / "run"
    lacking(monkeypatch, *missing.split())
    error = fails(capsys, *(word.replace("RUN", str(run)).replace("OUT", str(out)) for word in words))
    assert told in error
    assert not out.parent.exists()
    assert before == {path: path.stat().st_mtime_ns for path in run.iterdir()}


@pytest.mark.parametrize("package", ["PIL", "plotly", "rich", "torch"])
def test_packages_of_all_work_are_missed_in_one_line(package: str, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None\nfrom sparsenas.__main__ import main\nsys.exit(main(['run']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"sparsenas: needs {package}, not installed: pip install {PACKAGES[package]}\n"
    assert not list(tmp_path.iterdir())


def test_a_package_of_the_users_own_code_is_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("needy.py").write_text("def net():\n    import no_such_package")
    told = fails(capsys, "search", "--space=needy:net", "--out=runs/x")
    assert "ModuleNotFoundError: No module named 'no_such_package' (needy.py, line 2)" in told
    assert not Path("runs").exists()


def test_evolve_works_once_what_it_missed_is_there(
    real_run: RealRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evolve", str(real_run("spos")), "--pareto=flops", "--out", str(tmp_path / "front"), *QUICK, *CPU]
    with monkeypatch.context() as patch:
        lacking(patch, "pymoo")
        fails(capsys, *words)
    assert main(words) == 0


def test_evolve_names_the_damaged_supernet_and_leaves_nothing(
    real_run: RealRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for path in real_run("spos").iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    whole = (source / "supernet.pt").read_bytes()
    (source / "supernet.pt").write_bytes(whole[:1000])
    words = ["evolve", str(source), "--out", str(tmp_path / "again"), *QUICK, *CPU]
    assert f"{source / 'supernet.pt'}: expected tensors" in fails(capsys, *words)
    assert not (tmp_path / "again").exists()
    (source / "supernet.pt").write_bytes(whole)
    assert main(words) == 0


BREAKS = """
from torch import nn
from sparsenas import Join
class Net(nn.Sequential):
    def forward(self, x):
        if self.training and x.device.type != "meta" and len(x) > 20: raise {}("broken")
        return super().forward(x)
def net(classes): return Net(
    nn.Conv2d(1, 8, 3), Join.of("a", {{"c3": nn.Conv2d(8, 8, 3, padding=1), "c1": nn.Conv2d(8, 8, 1)}}),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))
"""


@pytest.mark.parametrize("error", ["ArithmeticError", "KeyboardInterrupt"])
def test_a_run_that_fails_in_its_first_step_can_be_repeated(
    error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(f"broken_by_{error}.py").write_text(BREAKS.format(error))
    words = ["search", f"--space=broken_by_{error}:net", "--search.epochs=1", "--out=runs/x", *CPU]
    for _ in range(2):
        if error == "KeyboardInterrupt":
            assert main(words) == 130
            assert capsys.readouterr().err.splitlines()[-1] == "sparsenas: interrupted; nothing was kept"
        else:
            with pytest.raises(ArithmeticError, match="broken"):
                main(words)
        assert not Path("runs").exists()


def fail_in(folder: Path, *files: str) -> set[str]:
    """What is there after a command that has failed with these files written."""

    def work() -> None:
        with new_folder(folder) as run:
            for name in files:
                (run / name).touch()
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        work()
    return {path.name for path in folder.iterdir()}


def test_only_what_a_failed_command_made_itself_is_removed(tmp_path: Path) -> None:
    assert fail_in(tmp_path) == set()
    (tmp_path / "notes.txt").touch()
    assert fail_in(tmp_path, "config.yaml", "run.json") == {"notes.txt"}
    begun = {"notes.txt", "config.yaml", LOG}
    assert fail_in(tmp_path, "config.yaml", LOG) == begun
    assert fail_in(tmp_path, "run.json") == begun


def test_what_a_stopped_command_says_depends_on_what_it_leaves(tmp_path: Path) -> None:
    def work(*files: str) -> None:
        with new_folder(tmp_path / "run") as run:
            for name in files:
                (run / name).touch()
            raise KeyboardInterrupt

    def stopped(*files: str) -> str:
        with pytest.raises(KeyboardInterrupt) as stop:
            work(*files)
        return str(stop.value)

    assert stopped() == stopped("config.yaml", "run.json") == "nothing was kept"
    assert stopped("config.yaml", LOG).endswith("--resume continues the run")
    assert stopped().endswith("--resume continues the run")


def test_help_that_is_stopped_says_nothing_of_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*given: object, **more: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("sparsenas.job.flags.help.help_text", stop)
    assert main(["retrain", "--help"]) == 130
    assert capsys.readouterr().err == "sparsenas: interrupted\n"
