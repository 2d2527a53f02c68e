"""Checks of spaces, methods and data, for the tests of their authors.

Call them from a test of your own package::

    from sparsenas.testing import check_space
    def test_my_space():
        check_space(my_space, shape=(3, 32, 32))
    def test_my_data():
        check_data(my_data(), Classification(classes=10))
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sparsenas.core.arch import Arch
from sparsenas.core.canonical import canonicalize
from sparsenas.core.derive import derive
from sparsenas.core.gate import Gates, choices, set_gates
from sparsenas.costs import CostTable, Limits, Shape, total, trace
from sparsenas.costs.fit import check_fit
from sparsenas.costs.layer import params
from sparsenas.data import Examples, Split, as_data
from sparsenas.errors import UserError
from sparsenas.methods import Method
from sparsenas.methods.contract import check_contract, check_final, check_gates, search_of
from sparsenas.nn.clone import deep_copy
from sparsenas.nn.tree import Tree, call_on_copy, concatenated, map_tensors, tensors
from sparsenas.objectives import Objective
from sparsenas.searching.eval_batches import EvalBatches
from sparsenas.searching.evolution import Score
from sparsenas.searching.fastest_way import fastest_way
from sparsenas.searching.lru import Cache


def check_space(make: Callable[[], nn.Module], shape: Shape | Tree, archs: int = 20, tolerance: float = 1e-5) -> None:
    """Checks on random architectures that a space keeps the library's promises.

    ``shape`` is that of one input, or an input: a tensor, tuple, list or dictionary of tensors with one example each.

    The supernet's path and the derived network have equal outputs in eval mode, in train mode where nothing is drawn at
    random, and equal traces. Candidates that share work have the outputs of the slow reference. The cost ``params`` is
    the derived network's number of parameters. The cost table equals the trace. Canonical architectures build the same
    network. JSON and compact text are read back exactly. Raises ``AssertionError`` naming the architecture,
    ``UserError`` where ``make`` is no function.
    """
    if isinstance(make, nn.Module) or not callable(make):
        raise UserError(f"check_space: expected a function that returns the network, got a {type(make).__name__}")
    torch.manual_seed(0)
    net, rng = shaken(make()).eval(), np.random.default_rng(0)
    open_choices = choices(net)
    assert open_choices, "the space has no choice: choices(net) is empty"
    _check_fit(net, shape)
    table = CostTable(make(), shape)
    x = _two_examples(shape)
    drawn = [Arch.sample(open_choices, rng) for _ in range(archs)]
    _check_scoring(net, list(dict.fromkeys(drawn)), x)
    for arch in drawn[:3]:
        _check_training(net, arch, x, tolerance)
    for arch in drawn:
        plain = derive(net, arch.gates()).eval()
        assert not choices(plain), f"{arch}: the derived network still has choices"
        expected = _outputs(net, arch, x)
        _check_same(arch, expected, call_on_copy(plain, x), tolerance)
        layers = trace(net, shape)
        assert layers == trace(plain, shape), f"{arch}: supernet and derived network trace differently"
        count = sum(p.numel() for p in plain.parameters())
        assert total(params, layers) == count, f"{arch}: counted {total(params, layers)} parameters, there are {count}"
        exact = {cost: float(value) for cost, value in table.exact(arch).items()}
        assert {cost: values[0] for cost, values in table([arch]).items()} == exact, f"{arch}: the cost table is wrong"
        _check_names(net, arch, expected, x, tolerance)


def _check_fit(net: nn.Module, shape: Shape | Tree) -> None:
    try:
        check_fit(net, shape)
    except UserError as error:
        raise AssertionError(str(error)) from error


def _two_examples(shape: Shape | Tree) -> Tree:
    if isinstance(shape, tuple | list) and all(isinstance(size, int) for size in shape):
        return torch.randn(2, *shape)
    return map_tensors(lambda leaf: torch.cat([leaf, leaf]), shape)


def _check_same(arch: Arch, expected: Tree, got: Tree, tolerance: float, mode: str = "") -> None:
    pairs = list(zip(tensors(expected), tensors(got), strict=True))
    far = [float((a - b).abs().max()) for a, b in pairs if not _close(a, b, tolerance)]
    assert not far, f"{arch}: the derived network differs from the supernet's path by {far[0]}{mode}"


def _close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance * float(a.abs().max()))


def _check_training(net: nn.Module, arch: Arch, x: Tree, tolerance: float) -> None:
    """In train mode, unless two runs of the supernet differ, as with dropout; networks that keep state are copied."""
    first, second = (_outputs(deep_copy(net).train(), arch, x) for _ in range(2))
    if all(torch.equal(a, b) for a, b in zip(tensors(first), tensors(second), strict=True)):
        with torch.no_grad():
            found = call_on_copy(derive(deep_copy(net).train(), arch.gates()).train(), x)
        _check_same(arch, first, found, tolerance, " in train mode")


def _check_scoring(net: nn.Module, archs: list[Arch], x: Tree) -> None:
    """What a search compares before it scores."""
    try:
        fastest_way(net, EvalBatches((x,), ((x, x),)), Cache(0), archs, lambda line: None)
    except UserError as error:
        raise AssertionError(str(error)) from error


def _check_names(net: nn.Module, arch: Arch, expected: Tree, x: Tree, tolerance: float) -> None:
    assert Arch.from_json(arch.choices, arch.to_json()) == arch, f"{arch}: its JSON is another architecture"
    assert Arch.from_text(arch.choices, arch.text()) == arch, f"{arch}: its compact text is another architecture"
    canonical = canonicalize(net, arch)
    assert canonicalize(net, canonical) == canonical, f"{arch}: the canonical architecture has another canonical one"
    pairs = zip(tensors(_outputs(net, canonical, x)), tensors(expected), strict=True)
    close = canonical == arch or all(torch.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in pairs)
    assert close, f"{arch}: the canonical architecture {canonical} builds another network"


def check_method(make: Callable[[Limits, int], Method], limits: Limits, steps: int = 20) -> None:
    """Checks that a method keeps the contract of ``sparsenas.methods.Method``, and that its state resumes it exactly.

    Its gates are legal or relaxed, its architecture is legal and within the budgets, its parameters get gradients, and
    a method that loads the state of another proposes the same gates, weights and architectures. A search proposes
    architectures that are new, and the same again for the same scores.
    ``make`` builds the method from limits and a seed. The loss is a made-up function of the gates' weights. Raises
    ``UserError`` for what the method lacks, ``AssertionError`` where it does not resume; both in one line.
    """
    check_contract(make(limits, 0))
    method, other = make(limits, 0), make(limits, 1)
    optimizer, other_optimizer = method.optimizer(), other.optimizer()
    start = method.search_starts_at()
    for epoch in range(start):
        method.end_epoch(epoch)
    for step in range(steps):
        _step(method, optimizer, step)
    method.end_epoch(start)
    other.load_state_dict(copy.deepcopy(method.state_dict()))
    if optimizer is not None and other_optimizer is not None:
        other_optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in range(steps):
        first, second = _step(method, optimizer, step), _step(other, other_optimizer, step)
        _check_gates_same(f"gates() of step {step} after resuming", first, second)
    ends = method.final(), other.final()
    if ends[0] is not None and ends[1] is not None:
        check_final(method, ends[0])
        assert ends[0].arch == ends[1].arch, f"final() after resuming: expected {ends[0].arch}, got {ends[1].arch}"
        _check_gates_same("final() after resuming", ends[0].gates, ends[1].gates)
    if ends[0] is None:
        _check_search(method)


def _check_search(method: Method, generations: int = 5) -> None:
    """Proposals are new, and the same again for the same scores; the best one is within the budgets."""
    first, again = search_of(method), search_of(method)
    seen: dict[Arch, Score] = {}
    for _ in range(generations):
        archs = first.ask()
        assert archs == again.ask(), "search(): the same scores and generator gave other proposals"
        assert not seen.keys() & set(archs), "search(): ask() proposed an architecture again"
        assert len(set(archs)) == len(archs), "search(): ask() proposed an architecture twice"
        seen |= {arch: Score(sum(map(hash, arch.every_pick())) % 7) for arch in archs}
        for search in (first, again):
            search.tell(archs, [seen[arch] for arch in archs])
    assert seen, "search(): ask() proposed nothing"
    assert method.limits.legal([first.best])[0], f"search(): its best, {first.best}, is not within the budgets"


def _step(method: Method, optimizer: Optimizer | None, step: int) -> Gates:
    """The gates of a training step, after which the method learns."""
    gates = method.gates()
    check_gates(method, gates)
    learning = [g.weights for g in gates.values() if g.weights is not None and g.weights.requires_grad]
    if optimizer is not None and learning:
        sum(((w * (1 + torch.arange(len(w)) + step % 3)).sin().sum() for w in learning), torch.zeros(())).backward()
        if all(parameter.grad is None for parameter in method.parameters()):
            raise UserError(f"--method: {type(method).__name__}: expected gradients in its parameters, got none")
        optimizer.step()
        optimizer.zero_grad()
    return {n: g if g.weights is None else g._replace(weights=g.weights.detach().clone()) for n, g in gates.items()}


def _check_gates_same(what: str, first: Gates, second: Gates) -> None:
    for name, gate in first.items():
        picks, weights = second[name]
        assert gate.picks == picks, f"{what}: choice {name!r}: expected picks {gate.picks}, got {picks}"
        same = gate.weights is weights or (gate.weights is not None and weights is not None)
        same = same and (weights is None or gate.weights is None or torch.equal(gate.weights, weights))
        assert same, f"{what}: choice {name!r}: expected weights {gate.weights}, got {weights}"


def check_data(data: Any, objective: Objective | None = None, batch: int = 8) -> None:
    """Checks that each part of the data keeps the promises that training and resuming rely on.

    ``data`` is a ``Data`` or any object that ``as_data`` takes. Batches hold the examples in order, again and again the
    same ones, all of one shape and type. A shuffled order depends on its seed only; ``skip`` and ``share`` of it leave
    out what they say; joined parts are one after the other. With an ``objective``, all targets fit it.
    Raises ``AssertionError`` naming the part, or ``UserError`` naming the example.
    """
    made = as_data(data)
    for name, part in (("train", made.train), ("val", made.val), ("test", made.test)):
        assert len(part) > 0, f"{name}: expected at least one example, got none"
        whole = list(part.batches(batch))
        assert sum(map(len, whole)) == len(part), f"{name}: batches hold other examples than its {len(part)}"
        _equal(f"{name}: batches read again", whole, list(part.batches(batch)))
        _check_forms(name, whole)
        last = torch.arange(len(part))[-batch:]
        _equal(
            f"{name}: the subset of the last examples", _rows(whole)[-len(last) :], _rows(part.subset(last).batches(1))
        )
        _check_order(name, part, min(batch, len(part)))
        if objective is not None:
            objective.check_targets(concatenated([one.targets for one in whole]))
    joined = _rows(made.train_val.batches(batch))
    _equal("train and val joined", joined, [*_rows(made.train.batches(batch)), *_rows(made.val.batches(batch))])


def _check_order(name: str, part: Examples, size: int) -> None:
    order = list(part.shuffled(size, 1))
    assert len(order) == len(part) // size, f"{name}: expected {len(part) // size} full batches, got {len(order)}"
    _equal(f"{name}: an order of the same seed", order, list(part.shuffled(size, 1)))
    _equal(f"{name}: what skip=1 leaves of an order", order[1:], list(part.shuffled(size, 1, skip=1)))
    first, rest = slice(0, (size + 1) // 2), slice((size + 1) // 2, None)
    shares = [_rows(part.shuffled(size, 1, share)) for share in (first, rest)]
    for share, got in zip((first, rest), shares, strict=True):
        _equal(f"{name}: a share of an order", [row for one in order for row in _rows([one])[share]], got)


def _check_forms(name: str, batches: Sequence[Split]) -> None:
    """All examples have tensors of the same types, and batches tensors of as many examples."""
    first = [leaf.dtype for leaf in tensors([batches[0].inputs, batches[0].targets])]
    for number, batch in enumerate(batches):
        leaves = tensors([batch.inputs, batch.targets])
        assert [leaf.dtype for leaf in leaves] == first, f"{name}: batch {number} has other types than the first"
        counts = {len(leaf) for leaf in leaves}
        assert counts == {len(batch)}, f"{name}: batch {number} has tensors of {sorted(counts)} examples"


def _rows(batches: Iterable[Split]) -> list[Split]:
    """The examples of batches, each a batch of one."""
    return [one for batch in batches for one in batch.batches(1)]


def _equal(what: str, expected: Sequence[Split], got: Sequence[Split]) -> None:
    assert len(expected) == len(got), f"{what}: expected {len(expected)}, got {len(got)}"
    for number, (one, other) in enumerate(zip(expected, got, strict=True)):
        pairs = zip(tensors([one.inputs, one.targets]), tensors([other.inputs, other.targets]), strict=True)
        same = all(a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)
        assert same, f"{what}: number {number} differs from what is expected"


def shaken(net: nn.Module) -> nn.Module:
    """Changes weights and batch norm statistics from their initial values, so that nothing is equal by chance."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in net.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_()
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2.0)
    return net


@torch.no_grad()
def _outputs(net: nn.Module, arch: Arch, x: Tree) -> Tree:
    set_gates(net, arch.gates())
    return call_on_copy(net, x)
