"""Published folders load without the library; what must not be published is refused in one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import onnxruntime
import pytest
import torch
import yaml
from safetensors.torch import load_file
from tests.real_runs import RealRun

import sparsenas
from sparsenas import exporting
from sparsenas.__main__ import main

FILES = {"README.md", "config.json", "load.py", "model.safetensors", "net.onnx", "net.pt2"}


@pytest.fixture(scope="module")
def published(real_run: RealRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "model"
    assert main(["publish", str(real_run("spos")), "--to", str(folder), "--license=mit"]) == 0
    return folder


def elsewhere(code: str) -> None:
    """Runs code in a process in which this library cannot be imported."""
    blocked = "import sys; sys.modules['sparsenas'] = None\n"
    subprocess.run([sys.executable, "-c", blocked + code], check=True, env={"PATH": ""}, cwd="/")


def test_the_folder_loads_without_sparsenas(published: Path, real_run: RealRun, tmp_path: Path) -> None:
    assert set(os.listdir(published)) == FILES
    net, x = sparsenas.load(real_run("spos")), torch.linspace(-2, 2, 3 * 64).view(3, 1, 8, 8)
    with torch.no_grad():
        torch.save((x, net(x)), tmp_path / "expected.pt")
    shutil.copytree(published, tmp_path / "copy")
    elsewhere(f"""
sys.path.insert(0, {str(tmp_path / "copy")!r})
import torch
from load import load
x, expected = torch.load({str(tmp_path / "expected.pt")!r})
torch.testing.assert_close(load()(x), expected, rtol=1e-4, atol=1e-5)
""")
    weights = load_file(published / "model.safetensors")
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())


def test_the_card_and_the_config_have_the_facts_of_the_run(published: Path, real_run: RealRun) -> None:
    card, config = (published / "README.md").read_text(), json.loads((published / "config.json").read_text())
    best, results = (json.loads((real_run("spos") / name).read_text()) for name in ("best.json", "results.json"))
    head = yaml.safe_load(card.split("---\n")[1])
    assert head == {
        "license": "mit",
        "library_name": "pytorch",
        "tags": ["sparsenas", "neural-architecture-search", "classification"],
        "metrics": ["accuracy"],
    }
    assert config["architecture"] == best["arch"]
    assert config["costs"] == best["costs"]
    assert config["input_shape"] == [1, 8, 8]
    assert not {"shape", "classes"} & set(config["space"])
    assert config["input"]["mean"] == pytest.approx([0.3047], abs=1e-3)
    onnx = onnxruntime.InferenceSession(published / "net.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(onnx["classes"]) == config["classes"] == list("0123456789")
    assert {name: json.loads(onnx[name]) for name in ("input_shape", "mean", "std")} == {
        "input_shape": config["input_shape"],
        "mean": config["input"]["mean"],
        "std": config["input"]["std"],
    }
    assert not {"resize", "crop"} & set(onnx)
    assert f"| {100 * results['retrained']['metrics']['accuracy']:.1f}\u202f% |" in card
    assert f"| {best['costs']['params']:,} |".replace(",", "\u202f") in card
    assert "normalised with mean 0.3047" in card
    assert "random architectures of about the same cost (2)" in card
    assert "flops<=60000" in card
    assert "---|\n|" in card  # no empty line within a table


def test_no_path_of_this_machine_is_published(published: Path) -> None:
    for name in FILES:
        content = (published / name).read_bytes()
        assert exporting.__file__.encode() not in content
        assert b"site-packages" not in content, name


def test_it_is_published_again_but_nothing_of_others_is_overwritten(
    published: Path, real_run: RealRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(published, tmp_path / "again")
    (tmp_path / "again" / "net.py").write_text("of an earlier run")
    (tmp_path / "again" / "notes.txt").write_text("mine")
    assert sparsenas.publish(real_run("spos"), tmp_path / "again") == str(tmp_path / "again")
    assert set(os.listdir(tmp_path / "again")) == FILES | {"notes.txt"}
    card = (tmp_path / "again" / "README.md").read_text()
    assert "license" not in card.split("---\n")[1]
    assert "License of the weights: not stated" in card
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"made_by": "others"}')
    (tmp_path / "file").write_text("")
    untested = shutil.copytree(real_run("random"), tmp_path / "random")
    capsys.readouterr()
    spos, to = str(real_run("spos")), ("--to", str(tmp_path / "new"))
    for words, told in (
        ((spos, "--to", str(tmp_path / "other")), "other: expected a new folder, an empty one or one of an earlier"),
        ((spos, "--to", str(tmp_path / "file")), "file: expected a folder, got a file"),
        ((spos, "--to", str(tmp_path / "file" / "new")), "expected a folder that can be made"),
        ((str(untested), *to), "expected a run folder with net.pt, found none; `sparsenas retrain` makes it"),
        ((spos, *to, "--upload=me"), "--upload: expected OWNER/NAME, got 'me'"),
    ):
        assert main(["publish", *words]) == 2
        printed = capsys.readouterr().err
        assert told in printed
        assert printed.count("\n") == 1
    assert not (tmp_path / "new").exists()


class Hub:
    """In place of the client of the hub."""

    calls: list[dict[str, Any]] = []

    def create_repo(self, repo: str, **more: Any) -> str:
        if repo == "not/mine":
            raise OSError("403 Forbidden\nmore of it")
        self.calls.append({"repo": repo, **more})
        return f"hub:{repo}"

    def upload_folder(self, **more: Any) -> SimpleNamespace:
        self.calls.append(more)
        return SimpleNamespace(oid="1")


def test_a_folder_is_uploaded_only_where_asked_for(
    real_run: RealRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = ModuleType("huggingface_hub")
    client.HfApi = Hub  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    monkeypatch.setattr("sparsenas.job.publishing.check_extra", lambda *_: None)
    words = ["publish", str(real_run("spos")), "--to", str(tmp_path / "model")]
    assert main([*words, "--upload=me/net", "--private=true"]) == 0
    assert capsys.readouterr().out == "hub:me/net\n"
    made, uploaded = Hub.calls
    assert made == {"repo": "me/net", "private": True, "exist_ok": True}
    assert uploaded["folder_path"] == tmp_path / "model"
    assert set(uploaded["allow_patterns"]) >= FILES
    assert main([*words, "--upload=not/mine"]) == 2
    told = f"--upload not/mine: not uploaded, {tmp_path / 'model'} is complete: 403 Forbidden"
    assert capsys.readouterr().err.strip().endswith(told)
