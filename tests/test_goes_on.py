"""A retraining that was interrupted while random networks were trained keeps those that were done."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.real_runs import RealRun

from sparsenas.__main__ import main
from sparsenas.job.stages.retrain import NetworkTrainer
from sparsenas.rundir.folder import Run
from sparsenas.rundir.records import Trainings
from sparsenas.rundir.results import results

FLAGS = ("--retrain.epochs=1", "--baselines=2", "--accelerator=cpu")


@pytest.mark.parametrize(
    ("before", "after", "again"),
    [
        ((), (), ["baseline2"]),
        ((), ("--retrain.lr=0.3",), ["retrain", "baseline1", "baseline2"]),
        (("--no-training",), (), ["retrain", "baseline1", "baseline2"]),
    ],
)
def test_only_what_is_left_is_trained(
    real_run: RealRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: tuple[str, ...],
    after: tuple[str, ...],
    again: list[str],
) -> None:
    run, trained, dies = Path(shutil.copytree(real_run("spos"), tmp_path / "run")), list[str](), True
    train = NetworkTrainer.train

    def counted(self: NetworkTrainer, net: object, stage: str, *args: object) -> object:
        if dies and stage == "baseline2":
            raise KeyboardInterrupt
        trained.append(stage)
        return train(self, net, stage, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(NetworkTrainer, "train", counted)
    assert main(["retrain", str(run), *FLAGS, *before]) == 130
    assert trained == [*([] if before else ["retrain"]), "baseline1"]
    found, dies = (run / "net.pt").read_bytes(), False
    trained.clear()
    assert main(["retrain", str(run), *FLAGS, *after]) == 0
    assert trained == again
    assert ((run / "net.pt").read_bytes() == found) == (before == after == ())
    assert len(results(Run(run)).baselines) == 2
    assert not Run(run).has(Trainings.FILE)
    trained.clear()
    assert main(["retrain", str(run), *FLAGS, *after]) == 0
    assert trained == ["retrain", "baseline1", "baseline2"], "nothing was interrupted, so it begins anew"
