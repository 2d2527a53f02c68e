"""Every built-in space keeps the library's promises, and the benchmark space is the benchmark's."""

from __future__ import annotations

import inspect

import pytest

from sparsenas.core.arch import Arch, space_size
from sparsenas.core.gate import choices
from sparsenas.costs import CostTable, Limits
from sparsenas.methods import METHODS, Method
from sparsenas.spaces import SPACES, nasbench_macro, tiny
from sparsenas.testing import check_method, check_space

IMAGENET = (3, 224, 224)
SMALL = (3, 32, 32)


@pytest.mark.parametrize(
    "name", [name for name in SPACES if not name.startswith(("darts", "dso", "nasbench201", "resnet", "vit"))]
)  # tested smaller
def test_conformance(name: str) -> None:
    """On 40 architectures; on 2, narrower and on small images for the spaces made for ImageNet, which are large."""
    parameters = inspect.signature(SPACES[name]).parameters
    shape, width = parameters["shape"].default, {"width": 16} if "width" in parameters else {}
    if shape == IMAGENET:
        check_space(lambda: SPACES[name](shape=SMALL, classes=10, **width), SMALL, archs=2)
    else:
        check_space(SPACES[name], shape, archs=40)


@pytest.mark.parametrize(
    "method", [METHODS[name] for name in METHODS if name not in ("dso", "darts", "gdas")]
)  # see test_methods
def test_method_conformance(method: type[Method]) -> None:
    table = CostTable(tiny(), (1, 8, 8))
    check_method(lambda limits, seed: method(limits.choices, limits, seed), Limits(table))


# Codes with flops, params of the published table (NAS-Bench-Macro, CIFAR-10).
PUBLISHED = {
    "00000000": (7713280, 387882),
    "10220212": (64287232, 2211722),
    "22222222": (105660928, 2932586),
    "11111111": (53246464, 1588874),
    "02012100": (47327744, 890666),
}


def test_nasbench_macro_costs_are_the_published_ones() -> None:
    net = nasbench_macro()
    table = CostTable(net, (3, 32, 32))
    for code, (flops, params) in PUBLISHED.items():
        exact = table.exact(Arch.from_text(choices(net), code))
        assert (exact["flops"], exact["params"]) == (flops, params)
    assert space_size(choices(net)) == 6561


def test_tiny_scales() -> None:
    small = CostTable(tiny(width=8, blocks=3), (1, 8, 8)).choices
    assert list(small) == [f"block{i}{part}" for i in (1, 2, 3) for part in ("", ".width")]
    assert tiny(shape=(3, 32, 32), classes=100)[-1][-1].out_features == 100
