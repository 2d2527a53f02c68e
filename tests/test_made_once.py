"""What takes long to make is made by one process of the tests, and the others wait for it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.made_once import sharing


def test_workers_share_what_one_of_them_made(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker has a base folder of its own in the folder of the run."""
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    workers = []
    for name in ("gw0", "gw1"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(tmp_path_factory, "getbasetemp", lambda name=name: tmp_path / name)
        workers.append(sharing(tmp_path_factory))
    made = []

    def make(out: Path) -> None:
        out.mkdir()
        time.sleep(0.05)
        (out / "file").write_text("whole")
        made.append(out)

    with ThreadPoolExecutor() as threads:
        found = list(threads.map(lambda worker: (worker("a", make) / "file").read_text(), workers))
    assert found == ["whole", "whole"]
    assert made == [tmp_path / "shared" / "a"]


def test_what_failed_is_made_anew(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setattr(tmp_path_factory, "getbasetemp", lambda: tmp_path)
    once = sharing(tmp_path_factory)

    def fail(out: Path) -> None:
        out.mkdir()
        raise OSError

    with pytest.raises(OSError, match="^$"):
        once("a", fail)
    assert once("a", Path.mkdir) == tmp_path / "shared" / "a"
