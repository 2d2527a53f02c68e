"""The weight gradient of depthwise convolutions: PyTorch's against ours, in turn, in one thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from sparsenas.nn.depthwise_grad import weight_gradient
from sparsenas.nn.malloc import keep_heap

ROUNDS = 7


class Case(NamedTuple):
    """A depthwise convolution that keeps the size of its images, divided by the stride."""

    where: str
    images: int
    channels: int
    pixels: int
    kernel: int
    stride: int = 1


CASES = (
    Case("nasbench_macro at 32x32, layer 1", 128, 192, 32, 5, 2),
    Case("layer 2", 128, 384, 16, 5),
    Case("layer 3", 128, 384, 16, 5, 2),
    Case("layers 4 and 5", 128, 768, 8, 5),
    Case("layer 6", 128, 768, 8, 5, 2),
    Case("layers 7 and 8", 128, 1536, 4, 5),
    Case("layers 7 and 8, images of 16x16", 128, 1536, 2, 5),
    Case("their 3x3", 128, 768, 2, 3),
    Case("shufflenet at 224x224, stage 1", 64, 32, 56, 5),
    Case("stage 1", 64, 32, 56, 7),
    Case("stage 2, first", 64, 64, 56, 7, 2),
    Case("stage 3", 64, 160, 14, 7),
    Case("stage 4", 64, 320, 7, 7),
)


def seconds(work: Callable[[], Tensor]) -> float:
    """Processor time of doing it once."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(case: Case, layout: torch.memory_format) -> tuple[list[float], float]:
    """Ratios of the rounds, and the largest difference relative to the largest number."""
    kernel, stride, half = (case.kernel,) * 2, (case.stride,) * 2, (case.kernel // 2,) * 2
    torch.manual_seed(0)
    x = torch.randn(case.images, case.channels, case.pixels, case.pixels).to(memory_format=layout)
    weight = torch.randn(case.channels, 1, *kernel, requires_grad=True)
    y = torch.nn.functional.conv2d(x, weight, None, stride, half, 1, case.channels)
    gradient = torch.randn_like(y)

    def theirs() -> Tensor:
        return torch.autograd.grad(y, weight, gradient, retain_graph=True)[0]

    def ours() -> Tensor:
        return weight_gradient(x, gradient, kernel, stride, half)

    expected = theirs()
    difference = float((ours() - expected).abs().max() / expected.abs().max())
    return [seconds(theirs) / seconds(ours) for _ in range(ROUNDS)], difference


def main() -> None:
    """Prints a line for each case."""
    keep_heap()
    torch.set_num_threads(1)
    for layout in (torch.channels_last, torch.contiguous_format):
        print(layout)
        for case in CASES:
            ratios, difference = compare(case, layout)
            spread = f"{statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"
            shape = f"{case.channels} x {case.pixels}x{case.pixels}, {case.kernel}x{case.kernel} / {case.stride}"
            print(f"{case.where:36s} {shape:26s} PyTorch / ours {spread}, difference {difference:.0e}", flush=True)


if __name__ == "__main__":
    main()
