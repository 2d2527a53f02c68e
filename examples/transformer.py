"""A small transformer reads handwritten digits row by row: which layers, how many heads, how wide.

Measured with seeds 0 and 1: test accuracy of 98.6 and 95.6 %; random networks of the same cost 96.9 and 97.6 %;
60 and 57 s of processor time.
"""

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import sparsenas
from sparsenas import Join, SliceLinear, Width

WIDTH, LAYERS = 32, 3
ADAMW = {"optimizer": "adamw", "lr": 0.003, "weight_decay": 0.05, "warmup": 3, "clip": 1.0}


class Attention(nn.Module):
    """Self-attention with a residual; norm first."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(WIDTH), nn.MultiheadAttention(WIDTH, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (examples, rows, width) to the same shape."""
        y = self.norm(x)
        added: Tensor = x + self.attention(y, y, y, need_weights=False)[0]
        return added


class Perceptron(nn.Module):
    """Two linear layers with a residual; norm first. The number of hidden features is a choice."""

    def __init__(self, name: str) -> None:
        super().__init__()
        hidden = Width(f"{name}.width", (16, 32, 64, 128))
        self.layers = nn.Sequential(
            nn.LayerNorm(WIDTH), SliceLinear(WIDTH, hidden), nn.GELU(), SliceLinear(hidden, WIDTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (examples, rows, width) to the same shape."""
        added: Tensor = x + self.layers(x)
        return added


class Transformer(nn.Module):
    """Rows of pixels, a position for each, layers, and the mean over rows."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embed, self.position = nn.Linear(8, WIDTH), nn.Parameter(torch.randn(8, WIDTH) / 10)
        layers: list[nn.Module] = []
        for i in range(1, LAYERS + 1):
            heads = {f"heads{heads}": Attention(heads) for heads in (1, 2, 4, 8)}
            layers.append(Join.of(f"attention{i}", {**heads, "skip": nn.Identity()}))
            layers.append(Join.of(f"mlp{i}", {"mlp": Perceptron(f"mlp{i}"), "skip": nn.Identity()}))
        self.layers, self.head = nn.Sequential(*layers, nn.LayerNorm(WIDTH)), nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Maps sequences (examples, 8 rows, 8 pixels) to logits (examples, classes)."""
        logits: Tensor = self.head(self.layers(self.embed(x) + self.position).mean(1))
        return logits


def data() -> sparsenas.Data:
    """1797 digits, each a sequence of 8 rows of 8 pixels."""
    pixels, digits = load_digits(return_X_y=True)
    rows = torch.tensor(pixels / 8 - 1, dtype=torch.float32).view(-1, 8, 8)
    return sparsenas.as_data((rows, torch.tensor(digits)), val_share=0.25)


def main(**changes: Any) -> sparsenas.Found:
    """Searches, retrains, exports and reports; ``changes`` replace or add arguments of ``sparsenas.run``."""
    arguments: dict[str, Any] = {
        "space": Transformer,
        "data": data(),
        "budget": "params<=15e3",
        "search": {**ADAMW, "epochs": 40},
        "retrain": {**ADAMW, "epochs": 25},
        "score": {"by": "loss"},
        "baselines": 3,
        "threads": 1,
        "out": "runs/transformer",
    }
    return sparsenas.run(**{**arguments, **changes})


if __name__ == "__main__":
    print(main().test)
