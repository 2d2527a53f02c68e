"""A published name is all that ``--arch`` needs; whatever contradicts it is refused in one line."""

from __future__ import annotations

import json

import pytest

from opening_nets import small
from sparsenas.__main__ import main
from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices
from sparsenas.costs import CostTable
from sparsenas.errors import UserError
from sparsenas.job.named_archs import named_arch
from sparsenas.job.plugin import Plugin, space_of
from sparsenas.spaces import SPACES, dso, nasbench_macro, shufflenet
from sparsenas.spaces.published import PUBLISHED, read_arch


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_name_fits_its_space(name: str) -> None:
    space, flags, labels = PUBLISHED[name]
    open_choices = choices(SPACES[space](**flags, shape=(3, 32, 32)))
    assert read_arch(open_choices, name).to_json() == labels


def costs(capsys: pytest.CaptureFixture[str], *argv: str) -> list[dict[str, object]]:
    assert main(["cost", "--json", *argv]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_name_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    rows = costs(capsys, "--arch", "spos_b", "--arch", "fbnet_a", "--arch", "spos_b")
    assert [row["arch"] for row in rows] == ["spos_b", "fbnet_a", "spos_b"]
    assert [row["flops"] for row in rows] == [327_857_920, 249_921_848, 327_857_920]


def test_other_flags_may_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    (small,) = costs(capsys, "--arch", "spos_b", "--space.shape", "3,32,32", "--space.classes", "10")
    assert small["params"] == 3_432_579 - 990 * 1024
    (same,) = costs(capsys, "--arch", "spos_b", "--space", "shufflenet", "--space.vary", "both")
    assert same["flops"] == 327_857_920


def test_a_name_gives_others_its_space(capsys: pytest.CaptureFixture[str]) -> None:
    rows = costs(capsys, "--arch", "uniform:shuffle3", "--arch", "spos_a")
    assert [row["flops"] for row in rows] == [295_842_496, 322_918_720]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--space", "tiny"], "--arch spos_b: expected --space shufflenet, got --space tiny; leave it out"),
        (["--space", "shufflenet", "--space.vary", "blocks"], "expected --space.vary both, got blocks"),
        (["--space.vary", "widths"], "expected --space.vary both, got widths; leave the flag out"),
        (["--space.widths", "0.5,1"], "expected --space shufflenet --space.vary both, got another space: choice"),
    ],
)
def test_contradictions(flags: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--arch", "spos_b", *flags]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


def test_a_name_does_not_fit_by_accident() -> None:
    widths = choices(shufflenet("widths", shape=(3, 32, 32)))
    with pytest.raises(UserError, match="--arch spos_a: expected --space shufflenet, got another space"):
        read_arch(widths, "spos_a")
    with pytest.raises(UserError, match="--arch fbnet_a: expected --space fbnet, got another space"):
        read_arch(choices(nasbench_macro()), "fbnet_a")


def test_the_space_of_an_architecture() -> None:
    assert space_of("0123", None) is None
    assert space_of("0123", Plugin("tiny")) == Plugin("tiny")
    assert space_of("spos_b", None) == Plugin("shufflenet", {"vary": "both"})
    own = Plugin("sparsenas.spaces:shufflenet", {"classes": 10})
    assert space_of("spos_b", own) == Plugin(own.name, {"vary": "both", "classes": 10})


def test_full_is_the_largest_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert costs(capsys, "--space", "tiny", "--arch", "full")[0]["flops"] == 1_500_480
    (opened,) = costs(
        capsys, "--space=open", "--space.net=opening_nets:small", "--space.shape=1,8,8", "--arch=full"
    )  # fmt: skip
    assert opened["params"] == sum(p.numel() for p in small().parameters())


def test_full_keeps_all_that_may_be_kept() -> None:
    table = CostTable(dso(width=4, depth=1, shape=(1, 8, 8)), (1, 8, 8))
    assert named_arch(table, "full") == Arch(
        table.choices, {name: range(len(choice.options)) for name, choice in table.choices.items()}
    )


def test_only_a_run_folder_has_a_found_architecture(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--arch", "found"]) == 2
    assert "found: expected an architecture; `sparsenas evaluate RUN --arch found`" in capsys.readouterr().err
