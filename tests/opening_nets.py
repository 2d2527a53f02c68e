"""Plain networks as users write them, one for each thing that opening has to follow."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.first, self.second = conv_bn(inputs, outputs, stride=stride), conv_bn(outputs, outputs, groups=groups)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else conv_bn(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, width: int = 16, groups: int = 1, classes: int = 10) -> None:
        super().__init__()
        self.stem = conv_bn(1, width, 5)
        self.blocks = nn.ModuleList(
            [Residual(width, width), Residual(width, 2 * width, 2, groups), Residual(2 * width, 2 * width)]
        )
        self.head = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


class Dense(nn.Module):
    """Concatenations, and a flattening before the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 12, 3, padding=1)
        self.layers = nn.ModuleList([nn.Conv2d(12 + 8 * i, 8, 3, padding=1) for i in range(3)])
        self.head = nn.Linear(36 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([x, F.relu(layer(x))], 1)
        return self.head(F.max_pool2d(x, 2).flatten(1))


class Mobile(nn.Module):
    """Depthwise convolutions, squeeze-and-excite, hard swish."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(1, 16)
        self.expand, self.depthwise, self.project = (
            conv_bn(16, 64, 1),
            conv_bn(64, 64, 5, groups=64),
            conv_bn(64, 16, 1),
        )
        self.squeeze, self.excite = nn.Conv2d(64, 16, 1), nn.Conv2d(16, 64, 1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.stem(x))
        y = F.hardswish(self.depthwise(F.relu6(self.expand(x))))
        y = y * torch.sigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        return self.head((x + self.project(y)).mean((2, 3)))


class Shuffle(nn.Module):
    """Halves of the channels, and a channel shuffle."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(1, 32)
        self.branch = nn.Sequential(*conv_bn(16, 16, 1), nn.ReLU(), *conv_bn(16, 16, groups=16), *conv_bn(16, 16, 1))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.stem(x).chunk(2, 1)
        x = torch.cat([one, F.relu(self.branch(other))], 1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.head(x.mean((2, 3)))


class Attention(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, channels // heads
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, self.size).permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(q @ k.transpose(-2, -1) / self.size**0.5, -1)
        return self.out((weights @ v).transpose(1, 2).reshape(n, tokens, self.heads * self.size))


class Dividing(Attention):
    """Divides the channels that it reads by its heads, as many do."""

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, channels = x.shape
        divided = self.qkv(x).reshape(n, tokens, 3, self.heads, channels // self.heads)
        q, k, v = divided.permute(2, 0, 3, 1, 4).unbind(0)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, channels))


class Affine(nn.Module):
    """A layer of one's own, as in GPT-2: its weight has the inputs first, and its code reshapes to ``outputs``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.weight, self.bias = nn.Parameter(torch.randn(inputs, outputs) / 4), nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x.reshape(-1, x.size(-1)), self.weight).view(*x.shape[:-1], self.outputs)


class OwnLayers(Attention):
    """One of its layers has as many outputs as inputs, so its attributes do not tell which is which."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(channels, heads)
        self.qkv, self.out = Affine(channels, 3 * channels), Affine(channels, channels)


class FourHeads(Attention):
    """Has its heads in its code."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Transformer(nn.Module):
    """Patches, a class token, positions, attention, layer norms."""

    def __init__(self, channels: int = 32, heads: int = 4, attention: type[Attention] = Attention) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, channels, 2, 2)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, channels)), nn.Parameter(torch.randn(1, 17, channels))
        self.norms = nn.ModuleList([nn.LayerNorm(channels) for _ in range(3)])
        self.attention = attention(channels, heads)
        self.mlp = nn.Sequential(nn.Linear(channels, 64), nn.GELU(), nn.Linear(64, channels))
        self.head = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        x = x + self.attention(self.norms[0](x))
        x = x + self.mlp(self.norms[1](x))
        return self.head(self.norms[2](x)[:, 0])


class WindowAttention(nn.Module):
    """Attention within windows of 2x2, with a bias for each head and each distance."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, channels // heads
        self.query, self.key, self.value, self.out = (nn.Linear(channels, channels) for _ in range(4))
        self.table = nn.Parameter(torch.randn(9, heads))
        y, x = torch.arange(4) // 2, torch.arange(4) % 2
        self.register_buffer("index", (3 * (y[:, None] - y + 1) + x[:, None] - x + 1).flatten(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        tokens = (*x.shape[:-1], self.heads, self.size)
        q, k, v = (layer(x).view(tokens).transpose(1, 2) for layer in (self.query, self.key, self.value))
        bias = self.table[self.index].view(4, 4, -1).permute(2, 0, 1)
        mixed = F.scaled_dot_product_attention(q, k, v, bias[None])
        return self.out(mixed.transpose(1, 2).reshape(*x.shape[:-1], -1))


class WindowBlock(nn.Module):
    """Residual: attention on an image, then an MLP on its tokens."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.attention, self.norm = WindowAttention(channels, heads), nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 64), nn.GELU(), nn.Linear(64, channels))

    def forward(self, x: Tensor) -> Tensor:
        n, height, width, channels = x.shape
        windows = x.view(n, height // 2, 2, width // 2, 2, channels).transpose(2, 3)
        attended = self.attention(windows.reshape(-1, 4, channels)).view(windows.shape).transpose(2, 3)
        x = x + attended.reshape(x.shape)
        tokens = x.view(n, -1, channels)
        return (tokens + self.mlp(self.norm(tokens))).view(n, height, width, channels)


class Windows(nn.Module):
    """Swin: patches, and blocks of attention within windows."""

    def __init__(self, channels: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(1, channels, 2, 2), nn.Linear(channels, 10)
        self.blocks = nn.Sequential(WindowBlock(channels, heads), WindowBlock(channels, heads))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.patches(x).permute(0, 2, 3, 1)).mean((1, 2)))


class Words(nn.Module):
    """An embedding, and PyTorch's own attention."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.attention = nn.Embedding(20, 16), nn.MultiheadAttention(16, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16))
        self.head = nn.Linear(16, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.table(tokens).to(tokens.device)  # in the graph a statement about its type comes before it
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.head((x + self.mlp(x)).mean(1))


class Series(nn.Module):
    """One dimension, group norms, a scale for every channel."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(3, 24, 7, padding=3), nn.Conv1d(24, 24, 3, padding=1, groups=4)
        self.norm, self.act = nn.GroupNorm(4, 24), nn.PReLU(24)
        self.gamma = nn.Parameter(torch.ones(24, 1))
        self.head = nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.first(x)))
        return self.head((x + self.gamma * self.second(x)).mean(-1))


class Recurrent(nn.Module):
    """LSTMs of two layers and directions, of which one begins with the states of the other, and a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 8, 4, 4)
        self.lstm = nn.LSTM(8, 4, 2, batch_first=True, bidirectional=True)
        self.next = nn.LSTM(8, 4, 2, batch_first=True, bidirectional=True)
        self.gru, self.hidden, self.head = nn.GRU(8, 6, bias=False), nn.Linear(10, 256), nn.Linear(256, 2)

    def forward(self, x: Tensor) -> Tensor:
        x, states = self.lstm(F.relu(self.conv(x)).transpose(1, 2))
        x, (last, _) = self.next(x, states)
        y, _ = self.gru(x.transpose(0, 1))
        return self.head(F.relu(self.hidden(torch.cat([y[-1], last[0]], 1))))


class Volume(nn.Module):
    """Three dimensions, and a decoder with a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.norm = nn.Conv3d(1, 16, 3, 2, 1), nn.InstanceNorm3d(16, affine=True)
        self.up, self.head = nn.ConvTranspose3d(16, 8, 2, 2), nn.Conv3d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.up(F.relu(self.norm(self.down(x))))))


class Twice(nn.Module):
    """A layer that is called twice, two layers with one weight, and one with two names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.layer, self.norm = nn.Linear(8, 16), nn.Linear(16, 16), nn.BatchNorm1d(16)
        self.tied = nn.Linear(16, 16)
        self.tied.weight = self.layer.weight
        self.again = self.tied
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for _ in range(2):
            x = x + self.norm(self.layer(x))
        return self.head(x + self.tied(x) + self.again(x))


class Small(nn.Module):
    """A stem, a block that may be skipped, a head, and a buffer that no file of weights has."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(1, width, 3, padding=1), Residual(width, width)
        self.register_buffer("scale", torch.linspace(1, 2, width)[:, None, None], persistent=False)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(torch.relu(self.stem(x)) * self.scale)
        return self.head(F.avg_pool2d(x, 4).mean((2, 3)))


def small(width: int = 8, classes: int = 10) -> nn.Module:
    return Small(width, classes)


def broken() -> nn.Module:
    raise ValueError("nobody builds this")


class Reduced(nn.Module):
    """Takes the channels of one tensor for those of another."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.reduce = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 2, 2)
        self.inner, self.head = nn.Linear(16, 24), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        n, channels = x.shape[:2]
        x = self.reduce(x).reshape(n, channels, -1).transpose(1, 2)
        return self.head(F.relu(self.inner(x))).mean(1)


class Standardized(nn.Module):
    """Weights that are computed: standardized with a gain, and masked."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.gain, self.norm = nn.Parameter(torch.ones(16, 1, 1, 1)), nn.BatchNorm2d(16)
        self.register_buffer("mask", (torch.rand(16, 16, 3, 3) > 0.3).float())
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.first.weight
        weight = (weight - weight.mean((1, 2, 3), keepdim=True)) / weight.std((1, 2, 3), keepdim=True) * self.gain
        x = F.relu(self.norm(F.conv2d(x, weight, self.first.bias, padding=1)))
        x = F.relu(F.conv2d(x, self.second.weight * self.mask, self.second.bias, padding=1))
        return self.head(x.mean((2, 3)))


class Masked(Residual):
    """A block that takes more than its input."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x if mask is None else x * mask)


class Called(nn.Module):
    """Blocks called by keyword, with further arguments, and with their input alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = conv_bn(1, 16), nn.Linear(16, 4)
        self.blocks = nn.ModuleList([Masked(16, 16), Masked(16, 16), Masked(16, 16)])

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = self.blocks[0](mask=None, x=x)
        x = self.blocks[1](x, None)
        return self.head(self.blocks[2](x).mean((2, 3)))


IMAGE = (2, 1, 8, 8)
NETS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "resnet": (ResNet, lambda: torch.randn(IMAGE)),
    "resnext": (lambda: ResNet(16, groups=8), lambda: torch.randn(IMAGE)),
    "grouped": (lambda: ResNet(16, groups=2), lambda: torch.randn(IMAGE)),
    "dense": (Dense, lambda: torch.randn(IMAGE)),
    "mobile": (Mobile, lambda: torch.randn(IMAGE)),
    "shuffle": (Shuffle, lambda: torch.randn(IMAGE)),
    "transformer": (Transformer, lambda: torch.randn(IMAGE)),
    "own_layers": (lambda: Transformer(attention=OwnLayers), lambda: torch.randn(IMAGE)),
    "windows": (Windows, lambda: torch.randn(IMAGE)),
    "reduced": (Reduced, lambda: torch.randn(IMAGE)),
    "standardized": (Standardized, lambda: torch.randn(IMAGE)),
    "words": (Words, lambda: torch.randint(20, (2, 5))),
    "series": (Series, lambda: torch.randn(2, 3, 16)),
    "recurrent": (Recurrent, lambda: torch.randn(2, 3, 16)),
    "volume": (Volume, lambda: torch.randn(2, 1, 4, 4, 4)),
    "called": (Called, lambda: torch.randn(IMAGE)),
    "twice": (Twice, lambda: torch.randn(4, 8)),
}
