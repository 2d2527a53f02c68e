"""A run's network as a model folder of the Hugging Face hub, which loads without this library."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from msgspec import to_builtins

from sparsenas.data.preprocessing import preparation
from sparsenas.errors import UserError, check_extra, first_line
from sparsenas.job.flag_groups import HERE, DataPlace
from sparsenas.job.folder import NONE, Opened, open_folder
from sparsenas.job.plugin import Plugin
from sparsenas.job.stages.export import export_stage, script_of
from sparsenas.job.stand_in import open_with_or_without_data
from sparsenas.job.trained import trained
from sparsenas.opening.script import PUBLISHED
from sparsenas.parsing import parse_json, read_text
from sparsenas.reporting.card import card
from sparsenas.reporting.loading import LoadedRun, load_run
from sparsenas.rundir.files import Write, write_together
from sparsenas.rundir.lock import locked
from sparsenas.rundir.networks import NET, ONNX, PT2, SCRIPT
from sparsenas.rundir.results import results
from sparsenas.rundir.tensors import as_safetensors

CONFIG, CARD, LOAD = "config.json", "README.md", "load.py"
FILES = (CONFIG, CARD, LOAD, PUBLISHED.weights, PT2, ONNX, SCRIPT)
"""All files of a published folder; net.py only where a plain network was opened."""
GIVEN_BY_DATA = ("shape", "classes")
"""Flags of a space whose values are the data's, whatever a run folder has as their default."""
MADE_BY = "sparsenas"
REPO = re.compile(r"[\w.-]+/[\w.-]+")
LOADER = '''"""Loads the network with torch alone: ``net = load()``."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn


def load(file: Path = Path(__file__).with_name("net.pt2")) -> nn.Module:
    """The trained network; it takes a batch of any number of inputs."""
    return torch.export.load(file).module()
'''


def publish_job(
    path: Path,
    to: Path,
    license: str = "",
    upload: str = "",
    private: bool = False,
    trusted: Iterable[str] = (),
    place: DataPlace = HERE,
    objects: Mapping[str, Plugin] = NONE,
) -> str:
    """Writes the folder ``to`` and returns it; with ``upload``, puts it there and returns its address.

    Raises ``UserError``, before anything is written for a mistake in what is given.
    """
    if upload:
        _check_upload(upload)
    run = open_folder(path)
    run.need(NET, "retrain")
    check_ours(to)
    with locked(run):
        opened = open_with_or_without_data(path, trusted, place, objects)
        _write(to, _contents(opened, license))
    return _uploaded(to, upload, private) if upload else str(to)


def check_ours(to: Path) -> None:
    """Raises ``UserError`` for a folder that has other files than those of an earlier publication."""
    if not to.exists():
        return
    if not to.is_dir():
        raise UserError(f"--to {to}: expected a folder, got a file")
    if os.listdir(to) and not _ours(to / CONFIG):
        raise UserError(f"--to {to}: expected a new folder, an empty one or one of an earlier `sparsenas publish`")


def _ours(config: Path) -> bool:
    try:
        facts = parse_json(read_text(config, config), config)
    except (UserError, OSError):
        return False
    return isinstance(facts, dict) and facts.get("made_by") == MADE_BY


def _contents(opened: Opened, license: str) -> dict[str, Write]:
    """The files by name."""
    run, task = opened.run, opened.task
    net = trained(run, task)
    try:
        weights = as_safetensors(net.state_dict())
    except UserError as error:
        raise UserError(f"{run / NET}: cannot be published: {error}") from error
    check = results(run).export
    if not (run.has(PT2) and run.has(ONNX) and check and check.usage):
        check_extra("onnx", "publish")
        export_stage(run, task, net)
    script = script_of(run, task, PUBLISHED)
    loaded = load_run(run.path)
    prepared = preparation(task.data) if opened.has_data else None
    names = [name for name in FILES if name != SCRIPT or script is not None]
    config = json.dumps(_config(loaded, prepared), indent=2, ensure_ascii=False) + "\n"
    files = {CONFIG: _text(config), CARD: _text(card(loaded, names, license, prepared)), LOAD: _text(LOADER)}
    files |= {PUBLISHED.weights: weights, PT2: _copy(run / PT2), ONNX: _copy(run / ONNX)}
    return files if script is None else {**files, SCRIPT: _text(script)}


def _config(run: LoadedRun, prepared: Mapping[str, Any] | None) -> dict[str, Any]:
    """The facts by which a program knows what the network is. No path of this machine is among them."""
    assert run.best is not None
    space = run.config.get("space")
    flags = dict(space) if isinstance(space, dict) else {"name": space}
    for name in GIVEN_BY_DATA:
        flags.pop(name, None)
    return {
        "made_by": MADE_BY,
        "space": {name: value for name, value in flags.items() if not (isinstance(value, str) and os.sep in value)},
        "method": run.flag("method"),
        "objective": run.flag("objective"),
        "architecture": run.best.arch,
        "input_shape": run.data.shape if run.data else None,
        "input": prepared,
        "classes": run.data.classes if run.data else [],
        "costs": run.best.costs,
        "test": to_builtins(run.results.retrained.metrics) if run.results.retrained else None,
        "seed": run.config.get("seed"),
        "versions": run.info.versions if run.info else {},
    }


def _text(text: str) -> Write:
    return lambda file: file.write(text.encode())


def _copy(path: Path) -> Write:
    def write(file: IO[bytes]) -> None:
        with open(path, "rb") as source:
            shutil.copyfileobj(source, file)

    return write


def _write(to: Path, files: Mapping[str, Write]) -> None:
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--to {to}: expected a folder that can be made, got: {error.strerror}") from error
    write_together({to / name: write for name, write in files.items()})
    for name in set(FILES) - set(files):
        (to / name).unlink(missing_ok=True)


def _check_upload(repo: str) -> None:
    if not REPO.fullmatch(repo):
        raise UserError(f"--upload: expected OWNER/NAME, got {repo!r}")
    check_extra("hub", "--upload")


def _uploaded(folder: Path, repo: str, private: bool) -> str:
    """Puts the published files of a folder into a repository of the hub, made if need be. Raises ``UserError``."""
    from huggingface_hub import HfApi

    hub = HfApi()
    try:
        address = hub.create_repo(repo, private=private, exist_ok=True)
        hub.upload_folder(
            repo_id=repo,
            folder_path=folder,
            allow_patterns=list(FILES),
            commit_message="A network found by sparsenas",
        )
    except Exception as error:  # of the hub, of its client and of the client's transport, which share no base
        raise UserError(f"--upload {repo}: not uploaded, {folder} is complete: {first_line(error)}") from error
    return str(address)
