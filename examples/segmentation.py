"""Four handwritten digits on each image: which digit does each pixel belong to, if any (segmentation)."""

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import sparsenas
from sparsenas import Join

TRAINING = {"optimizer": "adamw", "lr": 0.02, "weight_decay": 1e-3, "batch": 8, "smoothing": 0.0, "epochs": 30}


def conv(inputs: int, outputs: int, kernel: int) -> nn.Module:
    """A convolution that keeps the size, batch norm and ReLU."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


def block(name: str, width: int) -> Join:
    """A choice of a kernel, or of no layer."""
    return Join.of(name, {**{f"conv{k}": conv(width, width, k) for k in (1, 3, 5)}, "skip": nn.Identity()})


class UNet(nn.Module):
    """A small U-Net: what it saw at full size is added again after the upsampling."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(conv(1, 16, 3), block("fine", 16))
        coarse = [conv(16, 32, 3), block("coarse1", 32), block("coarse2", 32), conv(32, 16, 1)]
        self.coarse = nn.Sequential(nn.MaxPool2d(2), *coarse, nn.Upsample(scale_factor=2))
        self.head = nn.Sequential(block("head1", 16), block("head2", 16), nn.Conv2d(16, classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Maps images (examples, 1, 16, 16) to logits (examples, classes, 16, 16)."""
        fine = self.fine(x)
        return self.head(fine + self.coarse(fine))  # type: ignore[no-any-return]


def data() -> sparsenas.Data:
    """449 images of two by two digits; the target of a pixel is 1 + the digit whose ink it is, or 0."""
    pixels, digits = (torch.tensor(part[:1796]) for part in load_digits(return_X_y=True))
    targets = (pixels > 4) * (1 + digits[:, None])
    images, targets = (x.view(449, 2, 2, 8, 8).transpose(2, 3).reshape(449, 16, 16) for x in (pixels, targets))
    return sparsenas.as_data((images[:, None].float() / 16, targets))


def main(**changes: Any) -> sparsenas.Found:
    """Searches, retrains, exports and reports; ``changes`` replace or add arguments of ``sparsenas.run``."""
    arguments = {"space": UNet, "data": data(), "objective": "segmentation", "budget": "flops<=50%"}
    arguments |= {"search": TRAINING, "retrain": TRAINING, "method": {"name": "spos", "generations": 5}}
    arguments |= {"score": {"calibration": 64}, "baselines": 3, "threads": 1, "out": "runs/segmentation"}
    return sparsenas.run(**{**arguments, **changes})


if __name__ == "__main__":
    print(main().test)
