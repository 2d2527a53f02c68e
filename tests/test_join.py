"""Joins and cells compute what a slow, obvious sum computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import nn

from nets import BOUNDS, Line, lines, live_nodes, random_dag, seeds, signature, slow_dag, weighted
from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice
from sparsenas.core.dag import Dag
from sparsenas.core.gate import Gate, choices, set_gates
from sparsenas.core.join import Join
from sparsenas.errors import UserError
from sparsenas.nn.blocks import Concat, Sum


@given(seeds)
def test_a_join_adds_up_the_picked_candidates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    sources = [int(s) for s in rng.integers(0, 3, n)]
    ops = lines(rng, n)
    join = Join(Choice("c", tuple(map(str, range(n))), 1, n), ops, sources)
    arch = Arch.sample(choices(join), rng)
    inputs = [torch.tensor(rng.normal(size=3)) for _ in range(3)]
    outputs = [op.a * inputs[source] + op.b for op, source in zip(ops, sources, strict=True)]

    set_gates(join, arch.gates())
    torch.testing.assert_close(join(*inputs), sum(outputs[pick] for pick in arch["c"]))

    weights = torch.tensor(rng.normal(size=len(arch["c"])))
    set_gates(join, {"c": Gate(arch["c"], weights)})
    slow = sum(w * outputs[pick] for pick, w in zip(arch["c"], weights, strict=True))
    torch.testing.assert_close(join(*inputs), slow)


def test_weights_get_their_gradients() -> None:
    join = Join(Choice("c", ("a", "b", "c"), 1, 3), [Line(2, 0), Line(3, 0), Line(5, 0)])
    weights = torch.tensor([0.5, 0.25], requires_grad=True)
    set_gates(join, {"c": Gate((0, 2), weights)})
    join(torch.tensor(10.0)).backward()
    assert weights.grad is not None
    assert weights.grad.tolist() == [20, 50]


def test_only_the_picked_candidates_run() -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise AssertionError("ran")

    join = Join.of("c", {"fine": Line(1, 1), "broken": Broken()})
    set_gates(join, {"c": Gate((0,))})
    assert join(torch.tensor(1.0)) == 2


def test_a_join_needs_one_operation_and_source_an_option() -> None:
    choice = Choice("c", ("a", "b"))
    with pytest.raises(UserError, match="choice 'c': expected 2 operations and sources"):
        Join(choice, [nn.Identity()])
    with pytest.raises(UserError, match="choice 'c': expected 2 operations and sources"):
        Join(choice, [nn.Identity(), nn.Identity()], [0])


def test_an_empty_join_outside_a_dag_says_so() -> None:
    join = Join.of("c", {"a": nn.Identity()}, least=0)
    set_gates(join, {"c": Gate(())})
    with pytest.raises(RuntimeError, match="choice 'c' keeps nothing"):
        join(torch.zeros(1))


@pytest.mark.parametrize("bounds", BOUNDS)
@given(seed=seeds)
def test_a_dag_computes_what_recursion_computes(bounds: str, seed: int) -> None:
    dag = random_dag(seed, bounds)
    rng = np.random.default_rng(seed)
    inputs = [torch.tensor(rng.normal(size=2)) for _ in range(dag.inputs)]
    arch = Arch.sample(choices(dag), rng)
    for gates in (arch.gates(), weighted(arch, rng)):
        set_gates(dag, gates)
        out, slow = dag(*inputs), slow_dag(dag, gates, inputs)
        assert (out is None) == (slow is None)
        if out is not None:
            torch.testing.assert_close(out, slow)


@pytest.mark.parametrize("bounds", BOUNDS)
@given(seed=seeds)
def test_live_nodes_are_those_of_the_recursion(bounds: str, seed: int) -> None:
    dag = random_dag(seed, bounds)
    arch = Arch.sample(choices(dag), np.random.default_rng(seed))
    set_gates(dag, arch.gates())
    assert dag.live() == sorted(set(live_nodes(signature(dag, arch), dag.inputs)))


def test_dead_nodes_do_not_run() -> None:
    ran: list[int] = []

    class Note(nn.Module):
        def __init__(self, node: int) -> None:
            super().__init__()
            self.node = node

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            ran.append(self.node)
            return x

    def edges(name: str, sources: tuple[int, ...]) -> Join:
        return Join(Choice(name, tuple(map(str, sources)), 0, len(sources)), [nn.Identity() for _ in sources], sources)

    # Node 0 is used by nobody, node 1 is fed by nobody, node 2 is fed and used, and reads node 1.
    joins = [edges("n0", (0,)), edges("n1", (0,)), edges("n2", (0, 2))]
    dag = Dag(1, joins, edges("out", (1, 2, 3)), [Note(i) for i in range(3)])
    set_gates(dag, {"n0": Gate((0,)), "n1": Gate(()), "n2": Gate((0, 1)), "out": Gate((1, 2))})
    assert dag(torch.tensor(7.0)) == 7
    assert ran == [2]


def test_nothing_reaches_the_output() -> None:
    node = Join(Choice("node", ("in",), 0, 1), [nn.Identity()])
    dag = Dag(1, [node], Join(Choice("out", ("node",), 0, 1), [nn.Identity()], [1]))
    for picks in ({"node": (), "out": (0,)}, {"node": (0,), "out": ()}, {"node": (), "out": ()}):
        set_gates(dag, {name: Gate(p) for name, p in picks.items()})
        assert dag(torch.ones(1)) is None
        assert dag.live() == []
    set_gates(dag, {"node": Gate((0,)), "out": Gate((0,))})
    assert dag(torch.ones(1)) == 1


def test_a_dag_may_concatenate_and_ask_nothing() -> None:
    dag = Dag(2, [Sum([Line(2, 0), Line(3, 0)], [0, 1]), Sum([Line(1, 1)], [0])], Concat([3, 2, 0]))
    out = dag(torch.full((1, 1), 1.0), torch.full((1, 1), 10.0))
    assert out.tolist() == [[2, 32, 1]]


def test_a_dag_refuses_readers_of_later_nodes() -> None:
    with pytest.raises(UserError, match=r"node 0 may read positions 0 to 0, got \(1,\)"):
        Dag(1, [Sum([nn.Identity()], [1])], Concat([1]))
    with pytest.raises(UserError, match="positions 0 to 1"):
        Dag(1, [Sum([nn.Identity()], [0])], Concat([2]))
    with pytest.raises(UserError, match="expected 1 operations"):
        Dag(1, [Sum([nn.Identity()], [0])], Concat([1]), [nn.Identity(), nn.Identity()])
