"""A method by somebody else works from the docs alone; what it lacks is told in one line before any training."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from sparsenas.__main__ import main
from sparsenas.core.arch import Arch, every_arch
from sparsenas.core.elastic import SliceConv2d, Width
from sparsenas.core.gate import Gate, Gates
from sparsenas.core.join import Join
from sparsenas.costs import Budget, CostTable, Limits
from sparsenas.errors import UserError
from sparsenas.methods import Final, Method, Random, Search, SearchProblem
from sparsenas.searching.evolution import Parents, RandomSearch
from sparsenas.testing import check_method

SHAPE = (1, 8, 8)
PAGE = Path(__file__).parent.parent / "docs" / "methods.md"
EXAMPLE, SEARCH, FLAGS, CHECK = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
SPACE = """
from torch import nn
from sparsenas import Join


def make():
    ops = {"skip": nn.Identity(), "conv1": nn.Conv2d(4, 4, 1), "conv3": nn.Conv2d(4, 4, 3, padding=1)}
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
    return nn.Sequential(nn.Conv2d(1, 4, 3), Join.of("first", ops), nn.MaxPool2d(2), Join.of("second", ops), *head)
"""
COMMON = ("--space=myspace:make", "--method=mymethod:MyDarts", "--out=run", "--search.epochs=1", "--threads=1")


def space(width: bool = False) -> nn.Module:
    middle = Width("middle", (2, 4)) if width else 4
    ops = {"conv1": nn.Conv2d(4, 4, 1), "conv3": nn.Conv2d(4, 4, 3, padding=1), "skip": nn.Identity()}
    ends = SliceConv2d(1, middle, 1), SliceConv2d(middle, 4, 1)
    return nn.Sequential(*ends, Join.of("op", ops), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


TABLES = {width: CostTable(space(width), SHAPE) for width in (False, True)}


class Relaxed(Method):
    """A relaxed method with room for mistakes."""

    def __init__(self, limits: Limits, seed: int = 0, **wrong: Any) -> None:
        super().__init__(limits.choices, limits, seed)
        self.wrong = wrong
        self.alphas = nn.ParameterList(torch.zeros(len(choice.options)) for choice in limits.choices.values())

    def gates(self) -> Gates:
        """All options, or the wrong thing."""
        shares = {name: alpha.softmax(0) for name, alpha in zip(self.choices, self.alphas, strict=True)}
        gates = {name: Gate(tuple(range(len(share))), share) for name, share in shares.items()}
        return self.wrong.get("gates", lambda gates: gates)(gates)  # type: ignore[no-any-return]

    def final(self) -> Final | None:
        """The strongest options, or the wrong thing."""
        arch = Arch(self.choices, {n: (int(a.argmax()),) for n, a in zip(self.choices, self.alphas, strict=True)})
        return self.wrong.get("final", lambda arch: Final(arch, arch.gates()))(arch)  # type: ignore[no-any-return]

    def optimizer(self) -> Optimizer | None:
        """SGD, or the wrong thing."""
        make = self.wrong.get("optimizer", lambda method: SGD(method.parameters(), 0.1))
        return make(self)  # type: ignore[no-any-return]


def one(change: Callable[[Gate], object]) -> dict[str, object]:
    return {"gates": lambda gates: {**gates, "op": change(gates["op"])}}


def weights(change: Callable[[Tensor], object]) -> dict[str, object]:
    return one(lambda gate: Gate(gate.picks, change(gate.weights)))  # type: ignore[arg-type]


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no result": ({"final": lambda arch: None}, "Relaxed has no result: expected final()"),
    "an architecture alone": ({"final": lambda arch: arch}, "final(): expected Final(arch, gates) or None, got an"),
    "relaxed gates in the end": (
        {"final": lambda arch: Final(arch, {"op": Gate((0, 1, 2), torch.ones(3))})},
        "final(): choice 'op': expected gates of the architecture's picks (0,), got (0, 1, 2); the gates of an",
    ),
    "final gates of wrong length": (
        {"final": lambda arch: Final(arch, {"op": Gate((0,), torch.ones(3))})},
        "final(): choice 'op': expected weights of shape (1,), one per pick, got (3,)",
    ),
    "gates as a list": (
        {"gates": lambda gates: [*gates.values()]},
        "gates(): expected a Gate for each choice, by name",
    ),
    "a missing choice": ({"gates": lambda gates: {}}, "gates(): expected a Gate for every choice, got none for 'op'"),
    "an unknown choice": (
        {"gates": lambda gates: {**gates, "opp": gates["op"]}},
        "gates(): expected gates of choices of the space, got one of 'opp'",
    ),
    "a tuple": (
        one(lambda gate: (gate.picks, gate.weights)),
        "expected Gate(picks, weights), got an object of class t",
    ),
    "a pick too high": (
        one(lambda gate: Gate((0, 3))),
        "expected picks as a tuple of integers within 0..2, got (0, 3)",
    ),
    "picks as a tensor": (one(lambda gate: Gate(torch.arange(3))), "expected picks as a tuple of integers"),  # type: ignore[arg-type]
    "unsorted picks": (one(lambda gate: Gate((1, 0), torch.ones(2))), "expected sorted and distinct picks, got (1, 0)"),
    "too many picks": (
        one(lambda gate: Gate((0, 1))),
        "expected weights, or 1 to 1 picks without weights, got 2 picks",
    ),
    "no picks": (one(lambda gate: Gate((), torch.ones(0))), "1 to 1 picks without weights, got 0 picks"),
    "too few weights": (weights(lambda w: w[:2]), "expected weights of shape (3,), one per pick, got (2,)"),
    "weights as a row": (weights(lambda w: w[None]), "expected weights of shape (3,), one per pick, got (1, 3)"),
    "weights as a list": (weights(lambda w: w.tolist()), "expected weights as a tensor of floats, got an object of"),
    "no numbers": (weights(lambda w: w * torch.nan), "expected finite weights, got [nan, nan, nan]"),
    "nothing learned": (weights(lambda w: w.detach()), "expected weights that depend on the parameters of optimizer()"),
    "no optimizer": (
        {"optimizer": lambda method: "adam"},
        "expected a torch.optim.Optimizer or None, got an object of",
    ),
    "nothing learns": ({"optimizer": lambda method: None}, "expected one for the 1 parameters of the method, got None"),
    "others' parameters": (
        {"optimizer": lambda method: SGD([torch.zeros(3, requires_grad=True)], 0.1)},
        "expected parameters of the method, got others; keep them as attributes of type nn.Parameter",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake: str) -> None:
    wrong, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=re.escape(message)) as raised:
        check_method(lambda limits, seed: Relaxed(limits, seed, **wrong), Limits(TABLES[False]), 2)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("--method: Relaxed")


def test_without_mistakes_it_passes() -> None:
    check_method(Relaxed, Limits(TABLES[False]), 3)


def test_a_width_cannot_be_relaxed() -> None:
    with pytest.raises(UserError, match="'middle': its module runs 1 of 2 options and takes no weights"):
        check_method(Relaxed, Limits(TABLES[True]), 3)

    def sampled(gates: Gates) -> Gates:  # as GDAS: one option of a weight that learns
        return {
            name: Gate((0,), 1 + (g.weights - g.weights.detach())[:1])
            for name, g in gates.items()
            if g.weights is not None
        }

    with pytest.raises(UserError, match="'middle': its module runs 1 of 2 options and takes no weights"):
        check_method(lambda limits, seed: Relaxed(limits, seed, gates=sampled), Limits(TABLES[True]), 3)


def test_a_broken_budget_is_told() -> None:
    table = TABLES[False]
    limits = Limits(table, [Budget("params", at_least=table.exact(Arch(table.choices, {"op": (1,)}))["params"])])
    with pytest.raises(UserError, match=r"within the budget params>=\d+, got \d+; best_arch_within_budget"):
        check_method(Relaxed, limits, 2)


@pytest.mark.parametrize("lost", ["gates", "weights", "final"])
def test_a_method_that_does_not_resume_is_told(lost: str) -> None:
    class Forgetful(Relaxed):
        def __init__(self, limits: Limits, seed: int) -> None:
            super().__init__(limits, seed)
            self.steps = 0

        def gates(self) -> Gates:
            self.steps += 1
            gates = super().gates()
            if lost == "gates":
                return {name: Gate((self.steps % 3,), self.alphas[0][:1]) for name in gates}
            return {n: g._replace(weights=g.weights * self.steps) for n, g in gates.items() if g.weights is not None}

        def final(self) -> Final | None:
            arch = Arch(self.choices, dict.fromkeys(self.choices, (self.steps % 3,)))
            return Final(arch, arch.gates())

    if lost == "final":
        Forgetful.gates = Relaxed.gates  # type: ignore[method-assign]
        Forgetful.end_epoch = lambda self, epoch: setattr(self, "steps", 1) or False  # type: ignore[assignment, func-returns-value]
    words = {"gates": "expected picks", "weights": "expected weights", "final": "final"}
    with pytest.raises(AssertionError, match=words[lost]):
        check_method(Forgetful, Limits(TABLES[False]), 2)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes a module into the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, text: str) -> None:
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")

    write("myspace", SPACE)
    return write


def test_the_example_of_the_page_runs(module: Callable[[str, str], None], tmp_path: Path) -> None:
    """Search, retraining, export and report under a budget, from thirty lines; and its check passes."""
    module("mymethod", EXAMPLE)
    module("mysearch", SEARCH)
    assert len([line for line in EXAMPLE.splitlines() if line]) <= 30
    flags = ("--method.lr=0.01", "--budget=flops<=3000", "--retrain.epochs=1", "--baselines=0", "--data.val_share=0.5")
    assert main(["run", *COMMON, *flags]) == 0
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    assert best["costs"]["flops"] <= 3000
    assert "weights" not in best
    assert {"net.pt", "net.pt2", "net.onnx", "report.html"} <= {path.name for path in (tmp_path / "run").iterdir()}
    exec(compile(CHECK, "methods.md", "exec"), {})


def test_the_search_of_the_page_runs(module: Callable[[str, str], None], tmp_path: Path) -> None:
    """It scores each of the five architectures within the budget once."""
    module("mysearch", SEARCH)
    assert len([line for line in SEARCH.splitlines() if line]) <= 30
    method = ("--method=mysearch:LocalSearch", "--method.evaluations=20", "--budget=flops<=3000")
    assert main(["search", COMMON[0], *COMMON[2:], *method]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "archs.jsonl").read_text().splitlines()]
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    assert len(lines) == len({line["text"] for line in lines}) == 5
    assert all(line["costs"]["flops"] <= 3000 for line in lines)
    assert best["val"]["accuracy"] == max(line["metrics"]["accuracy"] for line in lines)


def test_a_flag_of_a_search_of_ones_own(module: Callable[[str, str], None], tmp_path: Path) -> None:
    module("myflags", FLAGS)
    method = ("--method=myflags:FlaggedSearch", "--method.first=3", "--method.evaluations=4")
    assert main(["search", COMMON[0], *COMMON[2:], *method]) == 0
    flags = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["method"]
    assert (flags["first"], flags["evaluations"]) == (3, 4)


class Climbing(Random):
    """A method with a search of its own, which may be wrong."""

    def __init__(self, limits: Limits, seed: int, ask: Callable[[Search], list[Arch]] | None = None) -> None:
        super().__init__(limits.choices, limits, seed)
        self.ask = ask

    def search(self, problem: SearchProblem, rng: np.random.Generator, choose: Parents | None = None) -> Any:
        """The search of random search with another ``ask``; none without."""
        found = RandomSearch(problem, rng, 6)
        if self.ask is not None:
            found.ask = lambda: self.ask(found)  # type: ignore[method-assign, misc]
        return None if self.ask is None else found


def test_searches_are_checked() -> None:
    limits, rng = Limits(TABLES[True]), np.random.default_rng()
    every = [*every_arch(limits.choices)]
    check_method(lambda limits, seed: Climbing(limits, seed, lambda search: search.new(every)[:4]), limits)
    with pytest.raises(UserError, match=r"Climbing.search\(\): expected a sparsenas.methods.Search, .* got None$"):
        check_method(Climbing, limits)
    wrong: dict[str, Callable[[Search], list[Arch]]] = {
        "proposed an architecture again": lambda search: every[:1],
        "proposed an architecture twice": lambda search: every[:1] * 2,
        "proposed nothing": lambda search: [],
        "gave other proposals": lambda search: search.new([every[i] for i in rng.permutation(6)]),
    }
    for told, ask in wrong.items():
        with pytest.raises(AssertionError, match=told):
            check_method(lambda limits, seed, ask=ask: Climbing(limits, seed, ask), limits)


PLAIN_LIST = (
    EXAMPLE.replace("nn.ParameterList(torch.zeros(len(choice.options))", "list(torch.zeros(len(choice.options))")
    .replace("    def shares", "        [alpha.requires_grad_() for alpha in self.alphas]\n\n    def shares")
    .replace("self.parameters()", "self.alphas")
)
NO_SEARCH = EXAMPLE.replace("def final(self):", "def search(self, problem, rng, choose=None):\n        return\n")
LACKING = {
    "gates": (EXAMPLE.replace("def gates", "def gate"), "expected a method, got a class without gates()"),
    "final": (EXAMPLE.replace("def final", "def arch"), "MyDarts has no result: expected final()"),
    "method": ("def MyDarts(choices, limits, seed):\n    return 1", "expected a sparsenas.methods.Method, got an"),
    "call": ("def MyDarts(choices):\n    return 1", "cannot be called"),
    "parameters": (PLAIN_LIST, "expected parameters of the method, got others; keep them as attributes"),
    "search": (
        NO_SEARCH,
        "MyDarts.search(): expected a sparsenas.methods.Search, since final() returns None, got None",
    ),
    "weights": (EXAMPLE.replace(", share)", ", share[1:])"), "choice 'first': expected weights of shape (3,)"),
}


@pytest.mark.parametrize("lack", LACKING)
def test_what_a_method_lacks_is_one_line_before_a_run(
    lack: str, module: Callable[[str, str], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text, message = LACKING[lack]
    module("mymethod", text)
    assert main(["search", *COMMON]) == 2
    line = capsys.readouterr().err
    assert message in line
    assert line.count("\n") == 1
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.parametrize("name", ["darts", "gdas"])
def test_widths_are_refused_before_a_run(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", "--space=tiny", f"--method={name}", f"--out={tmp_path / 'run'}"]) == 2
    line = capsys.readouterr().err
    assert "choice 'block1.width' is no choice among operations: its module takes no weights" in line
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_a_budget_broken_in_the_end_is_one_line(
    module: Callable[[str, str], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A method that cares for no budget: the first architecture is legal, the learned one is not."""
    naive = EXAMPLE.replace(
        "arch = best_arch_within_budget(self.limits, strengths)",
        "arch = Arch(self.choices, {n: (int(s.argmax()) if self.ended else 0,) for n, s in strengths.items()})",
    ).replace("from sparsenas import Gate", "from sparsenas import Arch, Gate")
    naive += """
    ended = False

    def end_epoch(self, epoch):
        self.ended = True
        self.alphas[0].data[2] = 9
"""
    module("mymethod", naive)
    assert main(["search", *COMMON, "--budget=flops<=3000"]) == 2
    assert "final(): expected an architecture within the budget flops<=3000" in capsys.readouterr().err
    assert (tmp_path / "run" / "supernet.pt").exists()
