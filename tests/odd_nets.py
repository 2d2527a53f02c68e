"""Networks that share, hook, branch or keep state, which whatever shares work between candidates must serve."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from sparsenas.core.join import Join

SHAPE = (1, 8, 8)


def pick(name: str) -> Join:
    ops = {f"c{k}": nn.Sequential(nn.Conv2d(8, 8, k, padding=k // 2), nn.BatchNorm2d(8)) for k in (3, 1)}
    return Join.of(name, ops)


def head() -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)]


def usual() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), pick("a"), nn.ReLU(), pick("b"), *head())


def norm_twice() -> nn.Sequential:
    norm = nn.BatchNorm2d(8)
    return nn.Sequential(nn.Conv2d(1, 8, 3), norm, nn.ReLU(), pick("a"), norm, *head())


def block_twice() -> nn.Sequential:
    block = pick("a")
    return nn.Sequential(nn.Conv2d(1, 8, 3), block, nn.ReLU(), pick("b"), block, *head())


class Twice(nn.Module):
    """Runs a block twice in one forward."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.block(x) * 2 + 1)


def twice_inside() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), Twice(pick("a")), nn.ReLU(), pick("b"), *head())


def hook_on_the_network() -> nn.Sequential:
    net = usual()
    net.register_forward_pre_hook(lambda module, args: (args[0] * 3,))
    net.register_forward_hook(lambda module, args, output: output * 2)
    return net


def hook_on_a_norm() -> nn.Sequential:
    net = usual()
    net[1].register_forward_hook(lambda module, args, output: output * 2 + 1)
    net[0].register_forward_hook(lambda module, args, output: output - 1)
    return net


def hook_on_an_option() -> nn.Sequential:
    net = usual()
    net[3].ops[0].register_forward_hook(lambda module, args, output: output * 2 + 1)
    return net


def hook_on_a_choice() -> nn.Sequential:
    net = usual()
    net[3].register_forward_hook(lambda module, args, output: output * 2 + 1)
    return net


class Backwards(nn.Sequential):
    """A Sequential that does not run its parts in order."""

    def forward(self, x: Tensor) -> Tensor:
        stem, first, second, *rest = self
        x = second(first(second(stem(x))))
        for part in rest:
            x = part(x)
        return x


def own_forward() -> nn.Sequential:
    return Backwards(nn.Conv2d(1, 8, 3), pick("a"), pick("b"), *head())


class Lying(nn.Module):
    """Names its segments wrongly."""

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__()
        self.parts, self.order = nn.ModuleList([nn.Conv2d(1, 8, 3), pick("a"), nn.ReLU(), pick("b"), *head()]), order

    def segments(self) -> list[nn.Module]:
        return [self.parts[i] for i in self.order]

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x


def wrong_order() -> Lying:
    return Lying([0, 3, 2, 1, 4, 5, 6])


def missing_part() -> Lying:
    return Lying([0, 1, 3, 4, 5, 6])


def tied() -> nn.Sequential:
    net = usual()
    net[5].ops[0][0].weight = net[3].ops[0][0].weight
    return net


def parametrized() -> nn.Sequential:
    net = usual()
    parametrizations.weight_norm(net[0])
    parametrizations.spectral_norm(net[3].ops[0][0])
    parametrizations.weight_norm(net[5].ops[1][0])
    return net


class Counter(nn.Module):
    """Its output depends on how often it ran, also in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("runs", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return x * self.runs


def counter() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), Counter(), pick("a"), nn.ReLU(), pick("b"), Counter(), *head())


class Slow(nn.Module):
    """Counts in a number, and acts only much later."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return x if self.runs < 12 else -x


def late_counter() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), pick("a"), nn.ReLU(), pick("b"), *head(), Slow())


class AlwaysDrop(nn.Module):
    """Dropout in eval mode as well."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5)


def random() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), pick("a"), AlwaysDrop(), pick("b"), *head())


class Branch(nn.Module):
    """Runs a block, or works in place, where the data say so."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) if x.mean() > 0 else x.add_(1)


def branch() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), pick("a"), Branch(pick("b")), Branch(pick("c")), *head())


class Method(nn.Module):
    """Holds a method of its own, and a list of its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.block = pick("a")
        self.run = self._double

    def _double(self, x: Tensor) -> Tensor:
        return self.block(x) * 2

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


def held_method() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), Method(), nn.ReLU(), pick("b"), *head())


class Listed(nn.Module):
    """Runs its layers from a list that PyTorch does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = pick("a"), pick("b")
        self.layers = [self.first, self.second]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def listed() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), Listed(), *head())


class Kept(nn.Module):
    """Keeps its last output."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block, self.last = block, None

    def forward(self, x: Tensor) -> Tensor:
        self.last = [self.block(x)]
        return self.last[0]


def kept() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), Kept(pick("a")), nn.ReLU(), pick("b"), *head())


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x * 2


class AddPair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = pick("b")

    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        return self.block(pair[0].relu_()) + pair[1]


def more_than_a_tensor() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), pick("a"), Pair(), AddPair(), *head())


class Looks(nn.Module):
    """Reads the output of a convolution whose norm follows in the same Sequential."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))

    def forward(self, x: Tensor) -> Tensor:
        return self.body[0](x) + self.body(x)


def looks_inside() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), pick("a"), Looks(), pick("b"), *head())


class Typed(nn.Module):
    """Insists on single precision."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ torch.eye(x.shape[-1], device=x.device)


def single_precision() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), pick("a"), Typed(), pick("b"), *head())


def script(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(module)


def scripted() -> nn.Sequential:
    ops = {f"c{k}": script(nn.Conv2d(8, 8, k, padding=k // 2)) for k in (3, 1)}
    return nn.Sequential(nn.Conv2d(1, 8, 3), pick("a"), Join.of("b", ops), script(nn.ReLU()), *head())


def scripted_norm() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), script(nn.BatchNorm2d(8)), pick("a"), *head())


def lazy() -> nn.Sequential:
    return nn.Sequential(nn.LazyConv2d(8, 3), pick("a"), pick("b"), *head()[:2], nn.LazyLinear(10))


def doubled() -> nn.Module:
    return usual().double()


def volume() -> nn.Sequential:
    """A network with 3-d convolutions; an image is a volume one voxel deep."""
    ops = {f"c{k}": nn.Sequential(nn.Conv3d(8, 8, k, padding=k // 2), nn.BatchNorm3d(8)) for k in (3, 1)}
    body = [nn.Unflatten(1, (1, 1)), nn.Conv3d(1, 8, (1, 3, 3)), Join.of("a", ops), nn.AdaptiveAvgPool3d(1)]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(8, 10))


class Recurrent(nn.Module):
    """Reads the rows of an image one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3), pick("a"), pick("b"))
        self.rows, self.head = nn.GRU(8 * 6, 8, batch_first=True), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rows(self.body(x).transpose(1, 2).flatten(2))[0][:, -1])


class Viewed(nn.Module):
    """Flattens by ``view``, which takes no channels_last."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Conv2d(1, 8, 3), pick("a"), pick("b")), nn.Linear(8 * 36, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        return self.head(x.view(x.size(0), -1))


def one_value() -> nn.Sequential:
    """One value per channel and example, so that a batch norm needs two examples."""
    return nn.Sequential(nn.Conv2d(1, 8, 3), pick("a"), *head()[:2], nn.BatchNorm1d(8), nn.Linear(8, 10))
