"""Settings for all tests: one thread a worker, properties that do not fail on a slow machine, and real runs."""

import gc
import os
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from tests.made_once import MadeOnce, sharing
from tests.real_runs import RealRun, make
from torch.onnx._internal.exporter._registration import ONNXRegistry

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of processes that tests start
settings.register_profile(
    "default", max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", parent=settings.get_profile("default"), max_examples=1000, derandomize=False)
settings.load_profile("default")

LONGEST = ("test_resume.py", "test_processes.py", "test_examples.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests come first: a process that began one last would go on alone for minutes."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish() -> None:
    """Modules stay; to search all of them for garbage, again and again, took an eighth of the time of the tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)


@pytest.fixture(scope="session", autouse=True)
def _one_table_of_onnx_operators() -> Iterator[None]:
    """PyTorch builds it anew in each export, which takes a quarter of the time of a small network's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.fixture
def unexported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs write no ``net.pt2`` and ``net.onnx``, most of the time of a small run, for tests that do not read them."""
    monkeypatch.setattr("sparsenas.job.stages.finish.export_stage", lambda *args: None)


@pytest.fixture(autouse=True)
def _no_lines_of_slow_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine they would come between lines that tests compare."""
    monkeypatch.setattr("sparsenas.rundir.progress.SLOW_SECONDS", 600.0)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Gives folders that take long to make, by name; each is made once for all processes of the tests."""
    return sharing(tmp_path_factory)


@pytest.fixture(scope="session")
def real_run(tmp_path_factory: pytest.TempPathFactory, made_once: MadeOnce) -> RealRun:
    """Gives small run folders that the commands have made, by name; each process of the tests has copies of its own."""
    folder = tmp_path_factory.mktemp("runs")

    def made(name: str) -> Path:
        return made_once(name, lambda out: make(name, out, made))

    def run(name: str) -> Path:
        if not (folder / name).exists():
            shutil.copytree(made(name), folder / name)
        return folder / name

    return run
