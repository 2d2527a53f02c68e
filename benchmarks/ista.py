"""A search step of ISTA-NAS against the loop it replaces and against DARTS, in turn, on the same batch.

One step is a step of b on held-out images and one of the weights, on 8 cells of width 16. Ours runs the two kept
candidates of every node, on images whose channels are last in memory. The plain loop visits all candidates and asks
``if weight != 0`` of the same ones, on contiguous images and with the allocator as it comes. The dense step of DARTS
runs them all under softmaxes. Each has a process of its own; what counts is processor time. Prints ratios and their
spread, and how much memory the steps take beyond what the process had before.

    taskset -c 1 python benchmarks/ista.py --batch 64 --rounds 3
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsenas.core.dag import Dag
from sparsenas.core.gate import Gate, set_gates
from sparsenas.core.join import Join
from sparsenas.costs import CostTable, Limits
from sparsenas.methods import Ista
from sparsenas.nn.depthwise_grad import DEPTHWISE
from sparsenas.nn.function_overrides import FunctionOverrides
from sparsenas.nn.malloc import keep_heap
from sparsenas.spaces import darts

CLASSES = 10
Step = Callable[[], None]


class Visiting(nn.Module):
    """A node as published code runs it: over all candidates, those with a weight that is not 0."""

    def __init__(self, join: Join, weights: Tensor) -> None:
        super().__init__()
        self.ops, self.sources, self.weights = join.ops, join.sources, weights

    def forward(self, *inputs: Tensor) -> Tensor:
        terms = [w * op(inputs[s]) for w, op, s in zip(self.weights, self.ops, self.sources, strict=True) if w != 0]
        return sum(terms[1:], terms[0])


class Dense(Visiting):
    """A node of DARTS: all candidates, under a softmax over those of each source."""

    def forward(self, *inputs: Tensor) -> Tensor:
        total: Tensor | None = None
        for source in sorted(set(self.sources)):
            members = [i for i, s in enumerate(self.sources) if s == source]
            shares = self.weights[members].softmax(0)
            for share, i in zip(shares, members, strict=True):
                term = share * self.ops[i](inputs[source])
                total = term if total is None else total + term
        assert total is not None
        return total


def batches(size: int, last: bool) -> list[tuple[Tensor, Tensor]]:
    """Two random batches of small images."""
    generator = torch.Generator().manual_seed(0)
    layout = torch.channels_last if last else torch.contiguous_format
    images = torch.randn(2, size, 3, 32, 32, generator=generator)
    labels = torch.randint(0, CLASSES, (2, size), generator=generator)
    return [(x.contiguous(memory_format=layout), y) for x, y in zip(images, labels, strict=True)]


def sgd(net: nn.Module) -> torch.optim.SGD:
    """The optimizer of the weights, which leaves alone what got no gradient."""
    return torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, weight_decay=3e-4, foreach=True)


def clipped(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """One clipped step."""
    nn.utils.clip_grad_norm_([p for p in net.parameters() if p.grad is not None], 5.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def learner() -> Ista:
    """The method; what it keeps does not depend on the size of the network."""
    table = CostTable(darts(width=2, cells=3), (3, 8, 8))
    return Ista(table.choices, Limits(table), 0)


def ours(size: int) -> Step:
    """The step of this library."""
    keep_heap()
    net = darts().to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    method = learner()
    asked, shown = batches(size, True)
    weights, architecture = sgd(net), method.optimizer()

    def step() -> None:
        set_gates(net, method.gates())
        with FunctionOverrides(DEPTHWISE):
            loss = functional.cross_entropy(net(asked[0]), asked[1])
        loss.backward(inputs=list(method.parameters()))
        architecture.step()
        architecture.zero_grad(set_to_none=True)
        gates = method.gates()
        set_gates(net, {name: Gate(gate.picks, none_learned(gate)) for name, gate in gates.items()})
        with FunctionOverrides(DEPTHWISE):
            loss = functional.cross_entropy(net(shown[0]), shown[1])
        loss.backward()
        clipped(net, weights)

    return step


def none_learned(gate: Gate) -> Tensor:
    """The weights of a gate as constants."""
    assert gate.weights is not None
    return gate.weights.detach()


def joins(net: nn.Module) -> list[tuple[nn.ModuleList, int, Join]]:
    """Where the nodes of all cells are."""
    dags = [module for module in net.modules() if isinstance(module, Dag)]
    return [(dag.joins, i, join) for dag in dags for i, join in enumerate(dag.joins) if isinstance(join, Join)]


def replaced(node: type[Visiting]) -> tuple[nn.Module, dict[str, Tensor]]:
    """The space with other nodes, and the weights of all candidates of each node, which are leaves."""
    net = darts().train()
    given: dict[str, Tensor] = {}
    for place, i, join in joins(net):
        weights = given.setdefault(join.choice.name, 1e-3 * torch.randn(len(join.ops)))
        place[i] = node(join, weights)
    return net, given


class Cells(nn.Module):
    """Runs a Dag whose nodes are no Joins any more."""

    def __init__(self, dag: Dag) -> None:
        super().__init__()
        self.joins, self.output = dag.joins, dag.output

    def forward(self, *inputs: Tensor) -> Tensor:
        values = list(inputs)
        for join in self.joins:
            values.append(join(*values))
        result: Tensor = self.output(*values)
        return result


def plain_cells(net: nn.Module) -> None:
    """Puts ``Cells`` in the place of every Dag."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, Dag):
                setattr(module, name, Cells(child))


def other(node: type[Visiting], size: int) -> Step:
    """The step with other nodes: two forward and backward passes, everything gets its gradient."""
    net, given = replaced(node)
    kept = learner().final().arch
    plain_cells(net)
    for name, weights in given.items():
        if node is Visiting:
            weights[[i for i in range(len(weights)) if i not in kept[name]]] = 0
        weights.requires_grad_()
    asked, shown = batches(size, False)
    weights_of = sgd(net)
    architecture = torch.optim.Adam(given.values(), 3e-4, betas=(0.5, 0.999))

    def step() -> None:
        functional.cross_entropy(net(asked[0]), asked[1]).backward()
        for weights in given.values():
            assert weights.grad is not None
            weights.grad.mul_(weights != 0)  # what is left out stays out
        architecture.step()
        architecture.zero_grad(set_to_none=True)
        net.zero_grad(set_to_none=True)
        functional.cross_entropy(net(shown[0]), shown[1]).backward()
        clipped(net, weights_of)

    return step


STEPS: dict[str, Callable[[int], Step]] = {
    "ours": ours,
    "loop": lambda size: other(Visiting, size),
    "dense": lambda size: other(Dense, size),
}


def work(name: str, size: int) -> None:
    """In a process of its own: takes a step for every line read and prints its seconds and the memory so far in MiB."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    step = STEPS[name](size)
    print(memory(), flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        step()
        print(time.process_time() - start, memory(), flush=True)


def memory() -> int:
    """The most memory this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class Worker:
    """A process that takes steps of one kind when asked."""

    def __init__(self, name: str, size: int) -> None:
        command = [sys.executable, __file__, "--work", name, "--batch", str(size)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.before = int(self.read())
        self.peak = self.before

    def read(self) -> str:
        """A line of its answer."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def step(self) -> float:
        """The seconds of one step."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        seconds, peak = self.read().split()
        self.peak = int(peak)
        return float(seconds)

    def end(self) -> None:
        """Lets the process end."""
        self.process.communicate()


def compare(name: str, size: int, rounds: int) -> None:
    """Times the two A B A B after a step to warm up, and prints one line."""
    slow, fast = Worker(name, size), Worker("ours", size)
    slow.step(), fast.step()
    ratios = [slow.step() / fast.step() for _ in range(rounds)]
    grown = (slow.peak - slow.before) / max(1, fast.peak - fast.before)
    print(
        f"batch {size:<4} {name} / ours: {statistics.median(ratios):.2f}x in time (min {min(ratios):.2f}, "
        f"max {max(ratios):.2f}), {grown:.2f}x in memory of a step ({slow.before} to {slow.peak} and {fast.before} to "
        f"{fast.peak} MiB)",
        flush=True,
    )
    slow.end(), fast.end()


def main() -> None:
    """Runs the comparisons, or is one of their processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64, help="images in a step")
    parser.add_argument("--dense-batch", type=int, default=8, help="the same with the dense step, which needs memory")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", choices=STEPS, help="for its own use")
    flags = parser.parse_args()
    if flags.work:
        work(flags.work, flags.batch)
        return
    compare("loop", flags.batch, flags.rounds)
    compare("dense", flags.dense_batch, flags.rounds)


if __name__ == "__main__":
    main()
