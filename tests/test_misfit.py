"""Parts of a space that do not fit: one line names choice, option, layer and shapes, before any work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sparsenas.__main__ import main
from sparsenas.core.choice import Choice
from sparsenas.core.dag import Dag
from sparsenas.core.derive import active_choices
from sparsenas.core.elastic import SliceBatchNorm2d, SliceConv2d, Width
from sparsenas.core.gate import Gate, choices, set_gates
from sparsenas.core.join import Join
from sparsenas.costs import CostTable
from sparsenas.costs.fit import check_fit, covering
from sparsenas.errors import UserError
from sparsenas.nn.blocks import Concat
from sparsenas.spaces import SPACES
from sparsenas.testing import check_space

SHAPE = (1, 8, 8)


def net(*layers: nn.Module, channels: int = 8) -> nn.Sequential:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def same(inputs: int, outputs: int, kernel: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


class Two(nn.Module):
    """Two layers of different widths on the input, and what is made of their outputs."""

    def __init__(self, concatenate: bool) -> None:
        super().__init__()
        a, b = Width("a", (8, 16)), Width("b", (8, 16))
        self.one, self.two, self.out = SliceConv2d(1, a, 3), SliceConv2d(1, b, 3), net(SliceConv2d(a, 8, 1))
        self.concatenate = concatenate

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.one(x), self.two(x)
        y: Tensor = self.out(torch.cat([one, two], 1) if self.concatenate else one + two)
        return y


def unequal() -> nn.Module:
    return net(same(1, 8, 3), Join.of("block1", {"c3": same(8, 32, 3), "c5": same(8, 16, 5)}), same(32, 8, 1))


def late() -> nn.Module:
    """One of many options, inside another choice, which two random architectures miss."""
    inner = Join.of("inner", {f"c{i}": same(8, 8 if i < 11 else 9, 1) for i in range(12)})
    return net(same(1, 8, 3), Join.of("outer", {"deep": inner, "skip": nn.Identity()}), same(8, 8, 1))


def added() -> nn.Module:
    options = {"c3": same(8, 8, 3), "valid": nn.Conv2d(8, 8, 3)}
    return net(same(1, 8, 3), Join.of("block1", options, least=1, most=2))


def two(concatenate: bool) -> nn.Module:
    return Two(concatenate)


def other_width(norm: bool = False) -> nn.Module:
    a, b = Width("a", (8, 16)), Width("b", (8, 16))
    layer = SliceBatchNorm2d(b) if norm else SliceConv2d(b, 8, 1)
    return net(SliceConv2d(1, a, 3), layer, *([SliceConv2d(a, 8, 1)] if norm else []))


def lazy() -> nn.Module:
    a = Width("a", (8, 16))
    made = net(SliceConv2d(1, a, 3), nn.LazyConv2d(8, 1))
    set_gates(made, {"a": Gate((0,))})
    made(torch.zeros(1, *SHAPE))
    return made


def lazy_behind_nodes() -> nn.Module:
    joins = [Join(Choice(f"n{i}", ("conv",), 0, 1), [same(8, 8, 3)], (0,)) for i in range(3)]
    made = net(same(1, 8, 3), Dag(1, joins, Concat((0, 1, 2, 3))), nn.LazyConv2d(8, 1))
    set_gates(made, {f"n{i}": Gate((0,)) for i in range(3)})
    made(torch.zeros(1, *SHAPE))
    return made


def in_dag() -> nn.Module:
    """Edges that are identities are added up without a call of their join."""
    first = Join(Choice("n0", ("id", "conv")), [nn.Identity(), same(8, 12, 3)], (0, 0))
    second = Join(Choice("n1", ("n0", "in"), 1, 2), [nn.Identity(), nn.Identity()], (1, 0))
    return net(same(1, 8, 3), Dag(1, [first, second], Concat((2,))))


MUST_SHARE = "a layer must have the Width of the layer that it reads"
REFUSED = {
    "unequal": (
        unequal,
        r"choice block1: option c5 gives \(16, 8, 8\) where option c3 gives \(32, 8, 8\); all options",
    ),
    "late": (late, r"choice inner: option c11 gives \(9, 8, 8\) where option c0 gives \(8, 8, 8\); all options of a"),
    "added": (added, r"choice block1: option valid gives \(8, 6, 6\) where option c3 gives \(8, 8, 8\); all options"),
    "in_dag": (in_dag, r"choice n0: option conv gives \(12, 8, 8\) where option id gives \(8, 8, 8\); all options"),
    "sum": (lambda: two(False), r"network \(Two\): \(8, 6, 6\) of width a meets \(16, 6, 6\) of width b; layers whose"),
    "concatenation": (
        lambda: two(True),
        rf"layer 'out.0' \(SliceConv2d\): expected \d+ channels of width a, got \(\d+, 6, 6\); {MUST_SHARE}",
    ),
    "width": (other_width, rf"layer '1' \(SliceConv2d\): expected 16 .* width b, got \(8, 6, 6\); {MUST_SHARE}"),
    "norm": (lambda: other_width(True), rf"layer '1' \(SliceBatchNorm2d\): .* width b, got \(8, 6, 6\); {MUST_SHARE}"),
    "lazy": (
        lazy,
        r"layer '1' \(Conv2d\): gets \(16, 6, 6\) in architecture 1 where it gets \(8, 6, 6\) in .* 0: ",
    ),
    "lazy_behind_nodes": (lazy_behind_nodes, r"layer '1.output' \(Concat\): gets .* in architecture .* where it gets"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_parts_that_do_not_fit_are_named_in_one_line(name: str) -> None:
    make, told = REFUSED[name]
    with pytest.raises(UserError, match=told) as error:
        check_fit(make(), SHAPE)
    assert "\n" not in str(error.value)
    with pytest.raises(AssertionError, match=told):
        check_space(make, SHAPE)


@pytest.mark.parametrize("name", ["unequal", "sum", "width"])
def test_a_cost_table_names_them_too(name: str) -> None:
    make, _ = REFUSED[name]
    with pytest.raises(UserError, match=r"gives \(|meets \(|of width"):
        CostTable(make(), SHAPE).models  # noqa: B018


def test_options_of_unequal_sizes_before_a_pool_are_admitted() -> None:
    made = net(same(1, 8, 3), Join.of("a", {"c3": same(8, 8, 3), "valid": nn.Conv2d(8, 8, 3)}))
    check_fit(made, SHAPE)


def test_a_mistake_without_choices_stays_what_torch_says() -> None:
    first = UserError("first")
    wrong = net(same(1, 8, 3), Join.of("a", {"x": same(8, 8, 1), "y": same(8, 8, 3)}), channels=9)
    with pytest.raises(UserError, match=r"^architecture \d: network does not run on an input of shape 1,8,8: "):
        check_fit(wrong, SHAPE)
    with pytest.raises(UserError, match="^first$"):
        check_fit(wrong, SHAPE, "", first)


@pytest.mark.parametrize("space", ["tiny", "nasbench_macro", "shufflenet", "darts"])
def test_every_option_runs_in_the_architectures_that_are_tried(space: str) -> None:
    made, seen = SPACES[space](), set[tuple[str, int]]()
    for arch in covering(made):
        set_gates(made, arch.gates())
        seen |= {(name, pick) for name, picks in active_choices(made) for pick in picks}
    every = {(name, pick) for name, choice in choices(made).items() for pick in range(len(choice.options))}
    assert len(seen) > 0.9 * len(every) if space == "darts" else seen == every


def test_any_two_widths_differ_in_an_architecture_that_is_tried() -> None:
    made = net(*(SliceConv2d(1, Width(f"w{i}", (4, 8)), 1) for i in range(9)))
    tried = list(covering(made))
    for one in (f"w{i}" for i in range(9)):
        for other in (f"w{i}" for i in range(9)):
            assert one == other or any(arch[one] != arch[other] for arch in tried)


@pytest.mark.parametrize("name", ["unequal", "sum", "lazy"])
def test_the_command_line_tells_it_before_any_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "misfits.py").write_text(
        "from test_misfit import REFUSED\n" + "".join(f"{n} = lambda: REFUSED['{n}'][0]()\n" for n in REFUSED)
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.delitem(sys.modules, "misfits", raising=False)
    out = tmp_path / "out"
    given = ["--space", f"misfits:{name}", "--data", "digits", "--accelerator", "cpu", "--out", str(out)]
    assert main(["run", *given, "--method", "spos"]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert f"--space misfits:{name}: " in told[0]
    assert not out.exists()
