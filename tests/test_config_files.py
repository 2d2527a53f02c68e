"""YAML files of flags: one for all commands, and what is said of a file that is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsenas.__main__ import COMMANDS, main
from sparsenas.commands.retrain import retrain
from sparsenas.commands.search import search
from sparsenas.errors import UserError
from sparsenas.job.flags.elsewhere import left_out
from sparsenas.job.flags.parse import parse

WHOLE = "{seed: 3, data: {val_share: 0.3}, budget: flops<=1, retrain: {epochs: 7}, baselines: 2, int8: true}"


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The flags of a whole run in a file."""
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_text(WHOLE)
    return "--config=run.yaml"


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> list[str]:
    """The lines of a command that must fail for the user."""
    assert main(list(argv)) == 2
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("sparsenas: ")]


def test_the_file_of_a_run_serves_its_stages(whole: str, capsys: pytest.CaptureFixture[str]) -> None:
    other, error = refused(capsys, "search", whole, "--seed=three")
    assert other == (
        "sparsenas: run.yaml: retrain, baselines and int8 are for other commands (run, retrain, evaluate, export), "
        "not used by search"
    )
    assert error == "sparsenas: --seed: expected an integer, got three"
    other, error = refused(capsys, "retrain", "nowhere", whole, "--threads=x")
    assert other.startswith("sparsenas: run.yaml: seed, data.val_share, budget and int8 are for other commands (run, ")
    assert error == "sparsenas: --threads: expected an integer, got x"
    other = refused(capsys, "cost", whole)[0]  # which lacks --arch
    assert other.endswith("not used by cost, which needs no data; --space.shape C,H,W is the shape of an input")
    assert refused(capsys, "run", whole, "--seed=three") == ["sparsenas: --seed: expected an integer, got three"]


def test_what_is_left_out_changes_nothing_else(whole: str) -> None:
    (flags,) = parse(search, [whole], lambda file, names: names).values()
    assert (flags.seed, flags.budget, flags.data.flags["val_share"]) == (3, ["flops<=1"], 0.3)
    (flags,) = parse(retrain, ["RUN", whole], lambda file, names: names).values()
    assert (flags.retrain.epochs, flags.baselines) == (7, 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("retrane: {epochs: 3}", "file.yaml: retrane: no such flag"),
        ("search: {epohcs: 3}", "file.yaml: search.epohcs: no such flag; did you mean --search.epochs?"),
        ("space: {widht: 3}", "file.yaml: space.widht: no such flag; did you mean --space.width?"),
        ("{baselines: 2, config: other.yaml}", "file.yaml: config: no such flag"),
    ],
)
def test_what_no_command_has_is_an_error(
    text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.yaml").write_text(text)
    assert refused(capsys, "search", "--config=file.yaml")[-1] == f"sparsenas: {told}"


def test_flags_on_the_command_line_are_no_flags_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    told = "sparsenas: --retrain.epochs: a flag of run, retrain, not of search"
    assert refused(capsys, "search", "--retrain.epochs=3") == [told]


def test_one_flag_is_told_in_the_singular() -> None:
    said: list[str] = []
    assert left_out({"search": search, "retrain": retrain}, "search", "a.yaml", ["baselines", "no"], said.append) == [
        "baselines"
    ]
    assert said == ["a.yaml: baselines is for other commands (retrain), not used by search"]
    assert left_out({"search": search}, "search", "a.yaml", ["no"], said.append) == []
    assert len(said) == 1
    assert {"search", "retrain"} <= {*COMMANDS}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("folder", "expected a YAML file of flags, got a folder"),
        ("empty.yaml", "expected a YAML file of flags, got an empty one; its lines are like seed: 1"),
        ("list.yaml", "expected a YAML file of flags, got a list; its lines are like seed: 1"),
        ("word.yaml", "expected a YAML file of flags, got only hello; its lines are like seed: 1"),
        ("binary.yaml", "expected a YAML file of flags, got a file that is no text in UTF-8"),
        ("broken.yaml", "expected YAML, got: expected ',' or ']', but got '<stream end>' in line 1; values with"),
        ("word.yaml/no", "expected a YAML file of flags, got a file that cannot be read: Not a directory"),
        ("vit_digit", "expected a YAML file of flags or a recipe, found no such file; did you mean vit_digits?"),
        ("qqq.yaml", "expected a YAML file of flags or a recipe, found no such file; the recipes are dso_cifar10, "),
    ],
)
def test_what_is_no_file_of_flags(given: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    for name, text in {"empty": b"", "list": b"- a", "word": b"hello", "binary": b"\xff\xfe", "broken": b"[a"}.items():
        Path(f"{name}.yaml").write_bytes(text)
    with pytest.raises(UserError) as error:
        parse(search, ["--config", given])
    assert str(error.value).startswith(f"--config {given}: {told}")
