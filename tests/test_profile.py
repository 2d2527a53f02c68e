"""What a space offers before any training: decisions, ranges of costs, and which budgets can be met."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sparsenas
from opening_nets import small
from sparsenas import Join, UserError
from sparsenas.__main__ import main
from sparsenas.core.arch import every_arch
from sparsenas.costs import CostTable
from sparsenas.errors import first_line
from sparsenas.spaces import tiny

SMALL = ["--space.width=4", "--space.blocks=2"]


class Pair(nn.Module):
    """A network with two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 8), nn.Linear(6, 8)
        self.join = Join.of("more", {"yes": nn.Linear(8, 8), "no": nn.Identity()})

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        out: Tensor = self.join(self.left(left) + self.right(right))
        return out


def test_ranges_and_shares_are_those_of_all_architectures(capsys: pytest.CaptureFixture[str]) -> None:
    table = CostTable(tiny(width=4, blocks=2), (1, 8, 8))
    costs = table(list(every_arch(table.choices)))
    largest = costs["flops"].max()
    budgets = ["--budget=flops<=60%", "--budget=params>=500", "--budget=params<=3"]
    assert main(["profile", *SMALL, *budgets, "--samples=4000", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["choices"]] == list(table.choices)
    assert found["architectures"] == len(costs["flops"])
    for name, values in costs.items():
        low, middle, high = (found["costs"][name][key] for key in ("low", "middle", "high"))
        assert (low, high) == (values.min(), values.max())
        assert abs(np.mean(values <= middle) - 0.5) < 0.1 or low == high
    upper, lower, never, together = found["budgets"]
    assert (upper["given"], upper["budget"]) == ("flops<=60%", f"flops<={largest * 60 // 100:.0f}")
    assert upper["share"] == pytest.approx(np.mean(costs["flops"] <= 0.6 * largest), abs=0.05)
    assert lower["share"] == pytest.approx(np.mean(costs["params"] >= 500), abs=0.05)
    assert [one["met"] for one in found["budgets"]] == [True, True, False, False]
    assert "this space reaches" in never["reason"]
    assert "cannot be >= 500 and <= 3 at once" in together["reason"]
    assert never["share"] == together["share"] == 0


def test_the_tables_in_print(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["profile", *SMALL, "--budget=flops<=60%", "--samples=100"]) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("block1.width", "conv3, mb3, mb5, skip", "params", "flops<=60%", "yes"))
    assert "bitops" not in told  # 0 without bit widths


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--samples=0"], "--samples: expected >= 1, got 0"),
        (["--budget=flops<=0%"], "--budget 'flops<=0%'"),
        (["--space=torch.nn:Identity"], "expected --space.shape"),
        (["--space=torch.nn:Identity", "--space.shape=1,8,8"], "at least one choice"),
    ],
)
def test_mistakes_are_told_in_one_line(flags: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *flags]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("space", [Pair(), Pair])
def test_a_network_with_two_inputs_from_python(space: Any) -> None:
    example = torch.randn(3, 4), torch.randn(3, 6)
    found = sparsenas.profile(space, ["flops<=60%", "peak_memory<=1e9"], example=example)
    assert {name: choice.options for name, choice in found.choices.items()} == {"more": ("yes", "no")}
    flops = found.costs["flops"]
    assert (flops.low, flops.high) == (80, 144)
    assert flops.middle in (80, 144)
    assert [one.met for one in found.budgets] == [True, True, True]
    assert found.budgets[0].budget == "flops<=86"
    assert 0.4 < found.budgets[0].share < 0.6
    with pytest.raises(UserError, match="example|shape"):
        sparsenas.profile(space)


def test_what_cannot_be_opened_is_told() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))
    opened = sparsenas.open(net, torch.randn(1, 3, 8, 8))
    coverage = sparsenas.profile(opened, example=(3, 8, 8)).coverage
    assert coverage is not None
    assert coverage.share == 1
    assert opened.coverage == coverage


def test_an_opened_network_has_the_example_it_was_opened_on() -> None:
    found = sparsenas.profile(sparsenas.open(small(), torch.zeros(2, 1, 8, 8)), "flops<=50%", samples=1)
    assert found.budgets[0].met


def test_two_lines_of_an_error_that_ends_in_a_colon() -> None:
    assert first_line(TypeError("got (tuple), but expected one of:\n  * (Tensor input)\n  more")).endswith(
        "one of: * (Tensor input)"
    )
    assert first_line(ValueError("one\ntwo")) == "one"
