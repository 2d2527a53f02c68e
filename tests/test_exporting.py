"""Exported files of networks with inputs and outputs of all forms, and the code that calls them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from sparsenas.errors import UserError
from sparsenas.exporting import export_network
from sparsenas.nn.tree import Tree, call
from sparsenas.objectives import Regression
from sparsenas.rundir.folder import Run


class Batch(nn.Module):
    """Its one argument is a dictionary; returns one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.table = nn.Linear(4, 3), nn.Embedding(7, 3)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.linear(batch["series"]) + self.table(batch["day"])


class Words(nn.Module):
    """Two arguments by name; returns a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.topic, self.count = nn.Embedding(9, 4), nn.Linear(4, 5), nn.Linear(4, 1)

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        x = (self.table(ids) * mask[..., None].to(torch.float32)).sum(1)
        return {"topic": self.topic(x), "count": self.count(x).squeeze(-1)}


class Pair(nn.Module):
    """Two arguments by place; returns a tuple, of which the second part bears the name of an input."""

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        return {"sum": left + right, "left": left * 2}


WORDS = {"ids": torch.randint(9, (6, 8)), "mask": torch.rand(6, 8) > 0.5}
CASES: dict[str, tuple[nn.Module, Tree, list[str] | None]] = {
    "dictionary": (Batch(), {"series": torch.randn(6, 4), "day": torch.randint(7, (6,))}, None),
    "tuple of a dictionary": (Batch(), ({"series": torch.randn(6, 4), "day": torch.randint(7, (6,))},), None),
    "names": (Words(), WORDS, ["topic", "count"]),
    "places": (Pair(), (torch.randn(6, 2), torch.randn(6, 2)), None),
}


@pytest.mark.parametrize("case", CASES)
def test_files_are_called_as_told(case: str, tmp_path: Path) -> None:
    net, inputs, names = CASES[case]
    check = export_network(Run(tmp_path), net, inputs, Regression())
    assert check.onnx_max_difference < 1e-5
    usage = check.usage
    assert usage is not None
    exported = torch.export.load(tmp_path / "net.pt2").module()
    output = eval(f"net({usage.call})", {"net": exported, "torch": torch})
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    arrays = session.run(None, eval(usage.feeds, {"numpy": numpy}))
    assert usage.tensor == isinstance(output, Tensor)
    for tensor, array in zip([output] if usage.tensor else output.values(), arrays, strict=True):
        torch.testing.assert_close(torch.from_numpy(array), tensor)
    assert [given.name for given in session.get_outputs()] == usage.outputs
    assert names is None or usage.outputs == names


class Hermitian(nn.Module):
    """An operation that ONNX does not have."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.eigvalsh(x)


def test_net_pt2_stays_where_there_can_be_no_onnx(tmp_path: Path) -> None:
    x = torch.randn(4, 3, 3)
    with pytest.raises(UserError) as caught:
        export_network(Run(tmp_path), Hermitian(), x, Regression())
    assert re.fullmatch(r".*: net\.pt2 is written, net\.onnx cannot be: \S.*", str(caught.value))
    assert "\x1b" not in str(caught.value)
    program = torch.export.load(tmp_path / "net.pt2").module()
    torch.testing.assert_close(program(x), call(Hermitian(), x))
    assert not (tmp_path / "net.onnx").exists()
