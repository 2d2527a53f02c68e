"""Each library of networks by a small module in its place, from ``tests/stand_ins``, with the functions called of it.

Tests with the libraries themselves are in ``tests/test_bridges.py``.
"""

from __future__ import annotations

import pickle
import runpy
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.test_cli import fails
from torch import nn

import sparsenas
from sparsenas import UserError
from sparsenas.__main__ import main
from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices, set_gates
from sparsenas.job.folder import open_task
from sparsenas.job.lookup import check_trusted, resolve
from sparsenas.job.plugin import Plugin
from sparsenas.opening.opened import OpenedNetwork
from sparsenas.spaces import Bridge

STAND_INS = Path(__file__).parent / "stand_ins"
LIBRARIES = ("timm", "torchvision", "transformers", "small_nets")
CPU = "--accelerator=cpu"
QUICK = ("--method=random", "--method.evaluations=2", "--score.calibration=64", "--budget=flops<=60%")


def loaded() -> dict[str, Any]:
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] in LIBRARIES}


@pytest.fixture(scope="module", autouse=True)
def _stand_ins() -> Iterator[None]:
    """Puts the small modules in place of the libraries, which are restored after the tests of this file."""
    real = loaded()
    for name in real:
        del sys.modules[name]
    sys.path.insert(0, str(STAND_INS))
    yield
    sys.path.remove(str(STAND_INS))
    for name in loaded():
        del sys.modules[name]
    sys.modules.update(real)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small"
    import_module("transformers").save(path)
    return path


@pytest.fixture(params=["timm", "torchvision", "hf"])
def space(request: pytest.FixtureRequest, folder: Path) -> str:
    return f"hf:{folder}" if request.param == "hf" else f"{request.param}:resnet18"


def built(name: str, classes: int = 7, **flags: Any) -> OpenedNetwork:
    """A network at full size."""
    net = Plugin(name, flags).build("space", shape=(3, 12, 12), classes=classes)
    assert isinstance(net, OpenedNetwork)
    set_gates(net, Arch(choices(net), net.largest()).gates())
    return net.eval()


def trained() -> nn.Module:
    return import_module("small_nets").trained().eval()  # type: ignore[no-any-return]


def has_trained_weights(net: nn.Module) -> bool:
    """Whether everything but the head has the trained numbers."""
    found = {name.removeprefix("net.").removeprefix("body."): tensor for name, tensor in net.state_dict().items()}
    return all(found[name].equal(t) for name, t in trained().state_dict().items() if not name.startswith("fc"))


def test_at_full_size_it_is_the_trained_network(space: str) -> None:
    net, x = built(space), torch.randn(2, 3, 12, 12)
    torch.testing.assert_close(net(x), trained()(x))
    assert net.notes == ()
    assert isinstance(bridge := resolve("space", space), Bridge)
    wanted = bridge.preprocessing({})
    assert (wanted.size, wanted.mean, wanted.std) == ((12, 12), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))


def test_a_head_for_other_classes_is_new(space: str) -> None:
    net = built(space, 10)
    assert net(torch.zeros(2, 3, 12, 12)).shape == (2, 10)
    assert has_trained_weights(net)
    assert [note.partition(": ")[2] for note in net.notes] == [
        "a new layer of 10 outputs, since the weights are those of 7"
    ]
    library = import_module(space.partition(":")[0].replace("hf", "transformers"))
    made = eval(net.code, {**vars(library), library.__name__: library})  # as net.py names it
    assert type(made) is type(net.net)
    assert [t.shape for t in made.state_dict().values()] == [t.shape for t in net.net.state_dict().values()]
    assert type(pickle.loads(pickle.dumps(net.net))) is type(made)


def test_weights_of_a_folder(folder: Path, tmp_path: Path) -> None:
    name = f"hf:{folder}"
    assert has_trained_weights(built(name, 10, weights=folder))
    assert not has_trained_weights(built(name, 10, pretrained=False))
    with pytest.raises(UserError, match=r"weights: expected a file, got '.*model.safetensors'"):
        built(name, weights=tmp_path)


def test_a_folder_without_a_processor(folder: Path, tmp_path: Path) -> None:
    import_module("transformers").save(tmp_path / "plain")
    (tmp_path / "plain" / "preprocessor_config.json").unlink()
    assert isinstance(bridge := resolve("space", f"hf:{tmp_path / 'plain'}"), Bridge)
    assert (bridge.preprocessing({}).size, bridge.preprocessing({}).mean) == ((16, 16), None)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("timm:resnet19", "--space timm:resnet19: cannot be built: RuntimeError: Unknown model (resnet19)"),
        ("timm:resnet19", "; did you mean resnet18 or resnet34?"),
        ("torchvision:resnet1", "cannot be built: ValueError: Unknown model resnet1"),
        ("torchvision:resnet1", "; did you mean resnet18?"),
        ("timm:resnet34", "its weights cannot be loaded: OSError: cannot reach the hub"),
        ("hf:resnet --space.args={attn_implementation: a/b}", "expected no attn_implementation, which loads weights"),
    ],
)
def test_mistakes_are_told_in_one_line(name: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert told in fails(capsys, "profile", *f"--space={name}".split(" ", 1))


def test_a_misspelt_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = fails(capsys, "profile", f"--space=hf:{folder.with_name('smal')}")
    assert "smal: cannot be built: FileNotFoundError" in told
    assert told.endswith("; did you mean small?\n")


@pytest.mark.parametrize(
    ("prefix", "package"), [("timm", "timm"), ("torchvision", "torchvision"), ("hf", "transformers")]
)
def test_a_missing_library(
    prefix: str, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    told = fails(capsys, "profile", f"--space={prefix}:resnet18")
    needs = f"needs {package}, not installed: pip install 'sparsenas[{prefix}]'"
    assert told == f"sparsenas: --space {prefix}:resnet18: {needs}\n"


def test_a_module_of_the_users_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The prefix stands for the library; a module that hides it is refused; one inside a package is the user's."""
    for name in ("timm", "hf"):
        (tmp_path / f"{name}.py").write_text("def make(): ...")
    for name in loaded():
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    told = fails(capsys, "profile", "--space=timm:make")
    assert f"expected the package timm, got {tmp_path / 'timm.py'}, which hides it; rename that" in told
    assert "--space hf:make: cannot be built: " in fails(capsys, "profile", "--space=hf:make")
    with pytest.raises(UserError, match="importable module"):
        resolve("space", "mine.timm:make")


def test_nothing_has_to_be_trusted(space: str) -> None:
    check_trusted("space", space, [], "config.yaml")
    for kind, name in (("data", space), ("space", "mine.timm:make"), ("space.net", space)):
        with pytest.raises(UserError, match="not built in"):
            check_trusted(kind, name, [], "config.yaml")


def test_a_run_on_a_folder_and_later_commands(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder is named from inside of its parent, and found from anywhere later."""
    out, other = folder.with_name("run"), folder.with_name("evolved")
    with monkeypatch.context() as inside:
        inside.chdir(folder.parent)
        words = ("--space=hf:small", "--data.size=8", "--search.epochs=0", "--retrain.epochs=1", "--baselines=0")
        assert main(["run", CPU, *QUICK, *words, f"--out={out}"]) == 0
    task = open_task(out, torch.device("cpu")).task
    assert has_trained_weights(task.original()) is False  # the stem reads grey images
    assert task.opened is not None
    assert task.opened.code in (out / "net.py").read_text()
    plain = eval(task.opened.code, vars(import_module("transformers")))
    net, x = runpy.run_path(str(out / "net.py"))["shrink"](plain), torch.linspace(-1, 1, 128).view(2, 1, 8, 8)
    torch.testing.assert_close(net(pixel_values=x).logits, torch.export.load(out / "net.pt2").module()(x))
    assert type(sparsenas.load(out)).__name__ == "Classifier"
    assert main(["evolve", str(out), f"--out={other}", CPU, *QUICK[:2], QUICK[3]]) == 0
    import_module("safetensors.torch").save_file(
        {f"body.{name}": tensor + 1 for name, tensor in trained().state_dict().items()}, folder / "model.safetensors"
    )
    assert "the weights of the network that was opened have changed" in fails(capsys, "evaluate", str(out), CPU)
