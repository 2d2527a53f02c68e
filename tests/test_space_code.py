"""A word when the code of a space has changed since a run began; an error where its choices or weights have."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.real_runs import CPU
from tests.test_cli import fails
from torch import nn

from sparsenas.__main__ import main
from sparsenas.job.plugin import Plugin
from sparsenas.job.space_code import code_checksum
from sparsenas.spaces import SPACES

LAYERS = """
from torch import nn
class Own(nn.ReLU):
    pass
"""
SPACE = """
from torch import nn
from layers_of_mine import Own
from sparsenas import Join
def net(classes):
    options = {"c3": nn.Conv2d(8, 8, 3, padding=1), "c1": nn.Conv2d(8, 8, 1)}
    choice = Join.of("a", options)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))
    return nn.Sequential(nn.Conv2d(1, 8, 3), Own(), choice, head)
"""
TOLD = (
    "the code of the space space_of_mine:net has changed since this run began; the weights in the folder were trained"
)
SHORT = ["--search.epochs=1", "--method=random", "--method.evaluations=2", *CPU]

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the space with changes, as if this process had just begun."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(old: str = "", new: str = "") -> None:
        for name, text in (("layers_of_mine", LAYERS), ("space_of_mine", SPACE)):
            Path(f"{name}.py").write_text(text.replace(old, new) if old else text)
            monkeypatch.delitem(sys.modules, name, raising=False)

    return write


def checksum() -> str:
    space = Plugin("space_of_mine:net")
    return code_checksum(space, space.build("space", classes=10))


def test_code_counts_and_comments_do_not(write: Write) -> None:
    write()
    before = checksum()
    for old, new, same in (
        ("def net", "# the network\n\ndef net", True),
        ("nn.Conv2d(8, 8, 1)", "nn.Conv2d( 8,8,1 )", True),
        ("nn.Conv2d(1, 8, 3)", "nn.Conv2d(1, 8, 5)", False),
        ("class Own(nn.ReLU)", "class Own(nn.SiLU)", False),
    ):
        write(old, new)
        assert (checksum() == before) is same


def test_built_in_spaces_have_their_own_code() -> None:
    assert len({code_checksum(Plugin(name), nn.Identity()) for name in SPACES}) > 1


class Unwritten:
    """A space whose code nobody can read."""

    __module__ = "no_such_module"

    def __call__(self) -> nn.Module:
        return nn.Identity()


def test_code_without_a_source_counts_as_none() -> None:
    assert code_checksum(Plugin.of(Unwritten()), nn.Identity()) == code_checksum(Plugin.of(Unwritten()), nn.ReLU())


def test_changed_code_is_told_in_one_line(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write()
    words = ["search", "--space=space_of_mine:net", "--out=run", *SHORT]
    later = ["--trust-plugins=space_of_mine:net"]
    assert main(words) == 0
    evaluate = ["evaluate", "run", "--arch=found", *later]

    def told(words: list[str]) -> int:
        capsys.readouterr()
        assert main(words) == 0
        return capsys.readouterr().err.count(TOLD)

    assert told([*words, "--resume"]) == told(evaluate) == 0
    write("nn.ReLU", "nn.SiLU")
    assert told([*words, "--resume"]) == told(evaluate) == 1
    assert told(["evolve", "run", "--out=again", "--method=random", "--method.evaluations=2", *CPU, *later]) == 1
    assert told(["evaluate", "again", "--arch=found", *later]) == 0


def test_changed_weights_and_choices_are_refused(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write()
    assert main(["search", "--space=space_of_mine:net", "--out=run", *SHORT]) == 0
    evaluate = ["evaluate", "run", "--arch=found", "--trust-plugins=space_of_mine:net"]
    write("nn.Conv2d(1, 8, 3)", "nn.Conv2d(1, 8, 5)")
    capsys.readouterr()
    assert main(evaluate) == 2
    printed = capsys.readouterr().err.splitlines()
    assert TOLD in printed[0]
    assert "supernet.pt: expected the net of this run, got another" in printed[1]
    changed = "the space space_of_mine:net has changed since this run began:"
    for old, new, told in (
        ('"c3"', '"conv3"', "the options of its choice a are conv3, c1, not c3, c1"),
        ('"a", options', '"b", options', "it has no choice a any more, but b"),
    ):
        write(old, new)
        assert f"{changed} {told}\n" in fails(capsys, *evaluate)
