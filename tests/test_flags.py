"""Flags: read from words, YAML files and run folders, kept in config.yaml, and told of in help and messages."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from torch import nn

from sparsenas.commands.cost import cost
from sparsenas.commands.evolve import evolve
from sparsenas.commands.retrain import retrain
from sparsenas.commands.run import run
from sparsenas.commands.search import search
from sparsenas.data import digits
from sparsenas.errors import UserError
from sparsenas.job.flag_groups import DataPlace, Finalists, ScoreOrder
from sparsenas.job.flags.flag import flags_of
from sparsenas.job.flags.kind_words import describe
from sparsenas.job.flags.kinds import convert
from sparsenas.job.flags.parse import parse
from sparsenas.job.flags.saved import from_config, saved_names, to_config
from sparsenas.job.flags.words import split_words
from sparsenas.job.lookup import check_all_trusted, method_of_run, resolve
from sparsenas.job.plugin import Plugin
from sparsenas.job.run_flags import EvolveFlags, RunFlags, SavedFlags, SearchFlags
from sparsenas.methods import Spos
from sparsenas.rundir.config import begin_run
from sparsenas.rundir.folder import Run
from sparsenas.rundir.records import RunInfo
from sparsenas.searching.config import Scoring
from sparsenas.spaces import tiny
from sparsenas.training.recipe import Recipe

OWN = """
from torch import nn

class Net(nn.Module):
    '''A network.'''

    def __init__(self, classes: int = 10, width: int = 8, free: [int] = None) -> None:
        super().__init__()
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a space in a module of the user's own, which says nothing of this library."""
    (tmp_path / "someones.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "someones", raising=False)
    return "someones:Net"


def run_flags(*argv: str) -> RunFlags:
    (flags,) = parse(run, argv).values()
    assert isinstance(flags, RunFlags)
    return flags


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (int, "3", 3), (int, 3, 3), (float, "1e-3", 1e-3), (float, 2, 2.0), (bool, "True", True), (bool, False, False),
        (str, "a", "a"), (str, 2, "2"), (Path, "a/b", Path("a/b")), (Literal["a", "b"], "b", "b"),
        (Literal[1, 2], "2", 2), (int | None, "null", None), (int | None, None, None), (int | None, "4", 4),
        (list[str], "flops<=1", ["flops<=1"]), (list[str], ["a", "b"], ["a", "b"]), (list[int] | None, "3", [3]),
        (tuple[int, ...], "1,2", (1, 2)), (tuple[int, ...], [1, 2], (1, 2)), (tuple[int, ...], 5, (5,)),
        (tuple[int, ...], "[1, 2]", (1, 2)), (tuple[int, ...], "", ()), (tuple[float, float], "1,2.5", (1.0, 2.5)),
        (dict[str, Any], "{a: 1}", {"a": 1}), (Any, "0.5", 0.5), (Any, "word", "word"), (Any, "[1, a]", [1, "a"]),
        (Any, "a: b: c", "a: b: c"), (nn.Module, "x", "x"),
    ],
    ids=str,
)  # fmt: skip
def test_values_become_their_types(kind: Any, value: object, expected: object) -> None:
    found = convert(kind, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--seed=three", "--seed: expected an integer, got three"),
        ("--search.batch=64.0", "--search.batch: expected an integer, got 64.0"),
        ("--search.lr=fast", "--search.lr: expected a number, got fast"),
        ("--data.val_share=nan", "--data.val_share: expected a number, got nan"),
        ("--search.nesterov=maybe", "--search.nesterov: expected true or false, got maybe"),
        ("--search.schedule=fall", "--search.schedule: expected one of linear, cosine, constant, restarts, got fall"),
        ("--space.shape=3,32", "--space.shape: expected 3 integers separated by commas, got 3,32"),
        ("--search.sizes=8,x", "--search.sizes: expected integers separated by commas, got 8,x"),
        ("--method.bin_range=1,x", "--method.bin_range: expected 2 numbers separated by commas, got 1,x"),
        ("--retrain.ema=2", "--retrain.ema: expected 0 <= ema < 1, got 2.0"),
        ("--search.epochs=-1", "--search.epochs: expected >= 0, got -1"),
        ("--score.shrink=2", "--score.shrink: expected 0 <= shrink <= 1, got 2.0"),
        ("--seed=-1", "--seed: expected >= 0, got -1"),
        ("--checkpoint-seconds=-1", "--checkpoint-seconds: expected >= 0, got -1.0"),
        ("--sead=3", "--sead: no such flag; did you mean --seed?"),
        ("--score.shirnk=1", "--score.shirnk: no such flag; did you mean --score.shrink?"),
        ("--spase=tiny", "--spase: no such flag; did you mean --space?"),
        ("--scale_too=params<=1", "--scale_too: no such flag; did you mean --scale-to?"),
        ("--search=3", "--search: expected one of its flags, such as --search.epochs"),
        ("--zzzz=1", "--zzzz: no such flag"),
        ("--space.zzzz=1", "--space.zzzz: no such flag; the chosen space has --space.width, --space.b"),
        ("--precision", "--precision: expected a value, got none"),
        ("--data=cifar10", "expected --data.root, got none"),
        ("runs/mine", "expected flags, which begin with --, got 'runs/mine'"),
        ("--config=nowhere", "--config nowhere: expected a YAML file of flags"),
    ],
)
def test_a_message_names_one_flag_and_one_value(flag: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        parse(run, [flag])
    assert str(error.value).startswith(told)
    assert "<class" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("search: {batch: 64.0}", "flags.yaml: search.batch: expected an integer, got 64.0"),
        ("seed: true", "flags.yaml: seed: expected an integer, got true"),
        ("seed: null", "flags.yaml: seed: expected an integer, got null"),
        ("search: 3", "flags.yaml: search: expected one of its flags, such as --search.epochs"),
        ("space: {name: tiny, 3: 4}", "flags.yaml: space.3: no such flag"),
        ("spaec: tiny", "flags.yaml: spaec: no such flag; did you mean --space?"),
        ("space: {name: 3}", "--space: expected a name, got 3"),
        ("config: other.yaml", "flags.yaml: config: no such flag"),
        ("- space", "--config flags.yaml: expected a YAML file of flags"),
    ],
)
def test_a_message_names_the_file(text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("flags.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        parse(run, ["--config", "flags.yaml"])
    assert str(error.value).startswith(told)


def test_types_in_words() -> None:
    assert describe(int | str) == "an integer or text"
    assert describe(list[Path]) == "a path"
    assert describe(tuple[bool, ...] | None) == "of true or false separated by commas"
    assert describe(nn.Module) == "a value"


def test_words() -> None:
    words = split_words(["runs/x", "--a-b", "1", "--c=d=e", "--on", "f", "--on", "true", "--g", "-5", "--h"], {"on"})
    assert words.positional == ["runs/x", "f"]
    flags = [("a_b", "1"), ("c", "d=e"), ("on", None), ("on", "true"), ("g", "-5"), ("h", None)]
    assert words.flags == flags


def test_dashes_and_underscores_are_the_same() -> None:
    assert run_flags("--num-nodes=2", "--scale_to=params<=1") == run_flags("--num_nodes=2", "--scale-to=params<=1")
    assert run_flags("--search.drop-path=0.1").search.drop_path == 0.1


def test_flags_that_are_repeated_and_switches() -> None:
    flags = run_flags(
        "--budget", "flops<=1", "--budget=params<=2", "--seed=1", "--seed=2", "--resume", "--threads", "3"
    )
    assert (flags.budget, flags.seed, flags.resume) == (["flops<=1", "params<=2"], 2, True)
    assert run_flags("--resume", "false").resume is False
    assert run_flags("--space=dso", "--space.share", "--seed=1").space.flags["share"] is True


def test_sections_begin_with_the_defaults_of_the_command() -> None:
    assert run_flags().retrain == RunFlags().retrain
    assert RunFlags().retrain != Recipe()
    assert run_flags("--retrain.epochs=7").retrain == replace(RunFlags().retrain, epochs=7)


def test_the_command_line_wins_over_files_wherever_it_stands(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("{seed: 1, budget: flops<=1, space: dso, target: {width: 9}, score: {shrink: 1}, num-nodes: 2}")
    second.write_text("{seed: 2, space: {name: tiny, width: 8}, search: {epochs: 3, lr: 1e-3}}")
    files = ["--config", str(first), "--config", str(second)]
    flags = run_flags("--search.epochs=5", *files)
    assert flags == run_flags(*files, "--search.epochs=5")
    assert (flags.seed, flags.budget, flags.space.name, flags.space.flags["width"]) == (2, ["flops<=1"], "tiny", 8)
    assert (flags.search.epochs, flags.search.lr, flags.target, flags.score.shrink) == (5, 1e-3, {"width": 9}, 1.0)
    assert flags.num_nodes == 2


def other(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, Plugin):
        return {"tiny": Plugin("dso"), "digits": Plugin("digits", {"val_share": 0.5})}.get(value.name, Plugin("random"))
    if isinstance(value, Recipe):
        return replace(value, epochs=value.epochs + 1)
    if isinstance(value, Scoring):
        return replace(value, val=value.val + 1)
    if isinstance(value, Finalists):
        return replace(value, count=value.count + 1)
    changes: dict[type, Any] = {int: 7, float: 7.5, str: "other", bool: True, list: ["flops<=9"], dict: {"width": 3}}
    changes[type(None)] = True
    return changes[type(value)]


@pytest.mark.parametrize("kind", [RunFlags, SearchFlags, EvolveFlags])
def test_no_flag_is_forgotten(kind: type) -> None:
    """Every field of the dataclass is saved, but for those of the folder, the place of its data, and loggers.

    The order of scores is saved as that of the run, with what differs.
    """
    needed = {"run": Path("runs/x")} if kind is EvolveFlags else {}
    flags = kind(**needed)
    config = to_config(flags)
    for one in fields(kind):
        if one.name in ("out", "resume", "trust_plugins", "logger") or isinstance(
            getattr(flags, one.name), DataPlace | ScoreOrder
        ):
            assert one.name not in config
        elif one.name != "run":
            changed = to_config(replace(flags, **{one.name: other(getattr(flags, one.name))}))
            assert {name for name in config if changed[name] != config[name]} == {one.name}
    assert [*config] == saved_names(kind)


def test_config_is_read_back() -> None:
    flags = run_flags("--space=dso", "--space.depth=1", "--method=Ista", "--search.sizes=6,8", "--target.width=3")
    config = yaml.safe_load(yaml.safe_dump(to_config(flags)))
    assert from_config(RunFlags, config, "config.yaml", []) == flags
    saved = from_config(SavedFlags, {**config, "more": 1}, "config.yaml", [])
    assert to_config(saved).items() <= config.items()
    with pytest.raises(UserError, match=r"config.yaml: score.batch: expected an integer, got x"):
        from_config(SavedFlags, {**config, "score": {"batch": "x"}}, "config.yaml", [])
    with pytest.raises(UserError, match=r"config.yaml: --score.batch: expected >= 1, got 0"):
        from_config(SavedFlags, {**config, "score": {"batch": 0}}, "config.yaml", [])


def begun(path: Path, flags: RunFlags) -> Path:
    folder = Run(path)
    folder.create()
    begin_run(folder, "run", to_config(flags))
    return path


def test_a_run_begins_where_a_package_is_on_the_path_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparsenas.rundir.config.PACKAGES", ("torch", "no-such-package"))
    info = Run(begun(tmp_path / "run", run_flags())).find(RunInfo)
    assert info is not None
    assert info.versions["no-such-package"] == "unknown" != info.versions["torch"]


def test_resuming_takes_the_flags_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever its folder is named: on the command line, in a file, or by default."""
    monkeypatch.chdir(tmp_path)
    flags = run_flags("--search.epochs=200", "--search.lr=0.05", "--space.width=8", "--latency=table.json")
    begun(Path("runs/run"), flags)
    Path("flags.yaml").write_text("{out: runs/run, resume: true}")
    resumed = replace(flags, resume=True)
    assert run_flags("--resume") == resumed
    assert run_flags("--resume", "--out=runs/run", "--search.epochs=200", "--space=tiny") == resumed
    assert run_flags("--config=flags.yaml") == resumed
    assert run_flags("--resume", "--out=runs/new") == replace(run_flags(), out=Path("runs/new"), resume=True)
    for argv in (["--resume"], ["--resume", "--out=runs/run"], ["--config=flags.yaml"]):
        with pytest.raises(UserError, match=r"--search.epochs: the run to resume has 200, got 3; leave the flag out"):
            parse(run, [*argv, "--search.epochs=3"])
    with pytest.raises(UserError, match=r"; `sparsenas retrain RUN --retrain.epochs 3` trains the found "):
        parse(run, ["--resume", "--retrain.epochs=3"])
    with pytest.raises(UserError, match=r"--space: the run to resume has tiny, got dso"):
        parse(run, ["--resume", "--space=dso"])
    with pytest.raises(UserError, match=r"--method.population: the run .* has 50, got 7; .*sparsenas evolve RUN"):
        parse(run, ["--resume", "--method.population=7"])


def test_resuming_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are kept whole, so that it makes no difference how they were given."""
    monkeypatch.chdir(tmp_path)
    begun(Path("runs/run"), run_flags("--data=imagefolder", "--data.root=images"))
    (tmp_path / "deeper").mkdir()
    assert run_flags("--resume", "--data.root=images").data.flags["root"] == Path("images")
    monkeypatch.chdir(tmp_path / "deeper")
    assert run_flags("--resume", "--out=../runs/run").data.flags["root"] == tmp_path / "images"
    assert run_flags("--resume", "--out=../runs/run", "--data.root=../images").resume
    moved = run_flags("--resume", "--out=../runs/run", "--data.root=images")
    assert moved.data.flags["root"] == Path("images")  # whether the data are the same is checked when they are read
    with pytest.raises(UserError, match=r"--data.val_share: the run to resume has 0\.1, got 0\.2"):
        parse(run, ["--resume", "--out=../runs/run", "--data.val_share=0.2"])


def test_methods_may_be_named_by_their_classes() -> None:
    for name, own_name in (("Spos", "spos"), ("IstaOneStage", "ista_one_stage"), ("Dso", "dso")):
        assert run_flags("--method", name).method == run_flags("--method", own_name).method
    assert resolve("method", "Spos") is Spos


def test_a_class_may_be_the_space(own: str) -> None:
    """Its target's flags are not given, so nothing is built from them."""
    flags = run_flags("--space", own, "--space.free=[1, 2]", "--target.width=9")
    assert flags.space == Plugin(own, {"width": 8, "free": [1, 2]})
    assert flags.target == {"width": 9}
    assert isinstance(flags.space.build("space"), nn.Module)
    assert [flag.name for flag in flags_of(flags.space.callable("space"))] == ["classes", "width", "free"]


def test_objects_in_python() -> None:
    """Nothing is looked up by name, wherever they were defined."""

    def make(width: int = 3) -> nn.Module:
        return nn.Linear(width, width)

    make.__module__ = "__main__"
    flags = RunFlags(space=Plugin.of(make, width=5), method=Spos, budget="flops<=1")  # type: ignore[arg-type]
    assert flags.space.build("space").in_features == 5
    assert (flags.method, flags.budget) == (Plugin("spos"), ["flops<=1"])
    assert to_config(flags)["space"] == {"name": f"__main__:{make.__qualname__}", "width": 5}
    assert RunFlags(space=tiny) == RunFlags(space="tiny") == RunFlags()  # type: ignore[arg-type]
    for wrong in (3, nn.Identity(), digits()):
        with pytest.raises(UserError, match="space: expected a name, a function or a class, got an object of class "):
            RunFlags(space=wrong)  # type: ignore[arg-type]


def test_what_is_named_is_trusted(own: str, tmp_path: Path) -> None:
    """On the command line, in a file, again with --resume, or by --trust-plugins; a run folder alone names nothing."""
    flags = run_flags("--space", own)
    Path("flags.yaml").write_text(yaml.safe_dump(to_config(flags)))
    assert run_flags("--config=flags.yaml") == flags
    out = f"--out={begun(tmp_path / 'run', flags)}"
    told = f"config.yaml: space {own} is not built in; to run its code, add --trust-plugins {own}"
    with pytest.raises(UserError, match=told):
        parse(run, ["--resume", out])
    assert run_flags("--resume", out, "--space", own).space == flags.space
    assert run_flags("--resume", out, "--trust-plugins", own).space == flags.space
    Path("trust.yaml").write_text(f"trust_plugins: {own}")
    assert run_flags("--resume", out, "--config=trust.yaml").space == flags.space
    assert parse(retrain, [str(tmp_path / "run")])["flags"].target == {}
    with pytest.raises(UserError, match=told):
        parse(retrain, [str(tmp_path / "run"), "--target.width=9"])
    (again,) = parse(retrain, [str(tmp_path / "run"), "--target.width=9", "--trust-plugins", own]).values()
    assert again.target == {"width": 9}
    with pytest.raises(UserError, match=told):
        from_config(SavedFlags, to_config(flags), "config.yaml", ["other:Net"])
    assert from_config(SavedFlags, to_config(flags), "config.yaml", [own]).space == flags.space


def test_a_run_folder_trusts_nothing_itself(own: str, tmp_path: Path) -> None:
    config = {**to_config(run_flags("--space", own)), "trust_plugins": [own]}
    with pytest.raises(UserError, match="add --trust-plugins"):
        from_config(SavedFlags, config, "config.yaml", [])
    folder = Run(tmp_path / "run")
    folder.create()
    begin_run(folder, "run", config)
    with pytest.raises(UserError, match="add --trust-plugins"):
        parse(search, ["--resume", f"--out={folder.path}"])


def test_a_run_to_resume_names_all_code_that_is_not_trusted_at_once(tmp_path: Path) -> None:
    folder = Run(tmp_path / "run")
    folder.create()
    space, data = {"name": "open", "net": "mynet:make"}, {"name": "mydata:make"}
    begin_run(folder, "run", {**to_config(run_flags()), "space": space, "data": data})
    words, named = ["--resume", f"--out={folder.path}"], "data mydata:make and space.net mynet:make are not built in"
    with pytest.raises(UserError, match=named):
        parse(run, words)
    with pytest.raises(UserError, match="config.yaml: data mydata:make is not built in"):
        parse(run, [*words, "--space.net=mynet:make"])


def test_installed_plugins_have_names(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {"theirs": own, "lost": "no.such:net"}
    installed = EntryPoints([EntryPoint(name, value, "sparsenas.spaces") for name, value in entries.items()])
    monkeypatch.setattr("sparsenas.job.lookup.entry_points", lambda **wanted: installed.select(**wanted))
    flags = run_flags("--space=theirs", "--space.width=3")
    assert isinstance(flags.space.build("space"), nn.Module)
    assert from_config(SavedFlags, to_config(flags), "config.yaml", []).space == flags.space
    with pytest.raises(UserError, match="--space lost: expected an importable module"):
        resolve("space", "lost")
    with pytest.raises(UserError, match="one of tiny, .*, lost, theirs or package.module:callable, got 'thiers'"):
        resolve("space", "thiers")
    with pytest.raises(UserError, match="got 'theirs'"):
        resolve("data", "theirs")


def test_costs_leave_the_space_open() -> None:
    assert parse(cost, ["--arch", "spos_b"])["space"] is None
    assert parse(cost, ["--arch", "spos_b", "--space.classes=10"])["space"] == Plugin("shufflenet", {"classes": 10})
    assert parse(cost, ["--space", "tiny"])["space"] == Plugin("tiny")


def test_a_run_folder_is_given_without_a_flag() -> None:
    (flags,) = parse(evolve, ["--pareto=flops", "runs/x"]).values()
    assert (flags.run, flags.pareto) == (Path("runs/x"), "flops")
    assert parse(evolve, ["--run=runs/x"]) == parse(evolve, ["runs/x"])
    with pytest.raises(UserError, match="expected RUN, got none"):
        parse(evolve, [])
    with pytest.raises(UserError, match="expected RUN, a run folder, got none"):
        parse(retrain, ["--target.width=3"])


def test_a_run_is_searched_again_by_its_own_method(tmp_path: Path) -> None:
    def method(*words: str) -> str:
        (flags,) = parse(evolve, [str(tmp_path / used), *words]).values()
        return str(flags.method.name)

    for used, again in (("sensitivity", "sensitivity"), ("ista", "spos")):
        folder = Run(tmp_path / used)
        folder.create()
        begin_run(folder, "run", to_config(run_flags(f"--method={used}")))
        assert method() == method_of_run(folder.path) == again
        assert method("--pareto=flops") == method_of_run(folder.path, pareto=True) == "spos"
        assert method("--method=random") == "random"


def test_all_code_that_is_not_trusted_is_named_at_once() -> None:
    named = [("space.net", "mynet:make"), ("space", "tiny"), ("data", "mydata:make"), ("objective", "mine:loss")]
    told = (
        "config.yaml: space.net mynet:make and data mydata:make are not built in; to run their code, "
        "add --trust-plugins mynet:make --trust-plugins mydata:make"
    )
    with pytest.raises(UserError, match=f"^{told}$"):
        check_all_trusted(named, ["mine:loss"], "config.yaml")
