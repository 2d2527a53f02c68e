"""The population evaluator equals the slow reference, and scores depend on nothing else."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from scoring_reference import score_one
from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices
from sparsenas.core.join import Join
from sparsenas.data import Data, Split
from sparsenas.data.sources.digits import digits
from sparsenas.nn.blocks import conv_bn
from sparsenas.objectives import Classification
from sparsenas.searching.eval_batches import EvalBatches, make_eval_batches
from sparsenas.searching.population_evaluator import Scorer, score_population
from sparsenas.spaces import nasbench_macro, tiny

CLASSES = Classification(10)


class NotSequential(nn.Module):
    """A user's own network that is no Sequential and works in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(1, 8, 3)
        self.one = Join.of("one", {"a": nn.ReLU(inplace=True), "b": conv_bn(8, 8, 3), "c": nn.Identity()})
        self.two = Join.of("two", {"a": nn.Hardswish(inplace=True), "b": conv_bn(8, 8, 1), "c": nn.Identity()})
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 10))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.two(self.one(self.stem(x))))
        return y


class Segments(NotSequential):
    """The same network naming its segments."""

    def segments(self) -> list[nn.Module]:
        return [self.stem, self.one, self.two, self.head]


def in_place() -> nn.Sequential:
    net = NotSequential()
    return nn.Sequential(net.stem, net.one, net.two, net.head)


@pytest.fixture(scope="module")
def data() -> Data:
    return digits()


@pytest.fixture(scope="module")
def eval_batches(data: Data) -> EvalBatches:
    return make_eval_batches(data, calibration=200, val=0, batch=100, seed=0)


def shake(net: nn.Module) -> nn.Module:
    """Weights and norms away from their initial values, so that nothing is equal by accident."""
    torch.manual_seed(0)
    for parameter in net.parameters():
        parameter.data.add_(0.5 * torch.randn_like(parameter))
    return net


@pytest.mark.parametrize("make", [tiny, NotSequential, Segments, in_place])
def test_population_equals_reference(make: type[nn.Module], eval_batches: EvalBatches) -> None:
    net = shake(make())
    rng = np.random.default_rng(0)
    archs = list(dict.fromkeys(Arch.sample(choices(net), rng) for _ in range(20)))
    before = copy.deepcopy(net.state_dict())
    ours = score_population(net, archs, eval_batches, CLASSES)
    reference = [score_one(net, arch, eval_batches) for arch in archs]
    assert [score["accuracy"] for score in ours] == [score["accuracy"] for score in reference]
    assert np.allclose([s["loss"] for s in ours], [s["loss"] for s in reference], rtol=1e-5)
    assert len({score["accuracy"] for score in ours}) > 1
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_population_equals_reference_on_nasbench_macro() -> None:
    torch.manual_seed(0)
    split = Split(torch.randint(0, 256, (48, 3, 32, 32), dtype=torch.uint8), torch.randint(0, 10, (48,)))
    eval_batches = make_eval_batches(
        Data(tuple("0123456789"), split, split, split, (0.5,) * 3, (0.25,) * 3), 32, 0, 16, 0
    )
    net, rng = shake(nasbench_macro()), np.random.default_rng(1)
    archs = [Arch.sample(choices(net), rng) for _ in range(4)]
    ours, reference = (
        score_population(net, archs, eval_batches, CLASSES),
        [score_one(net, arch, eval_batches) for arch in archs],
    )
    assert [s["accuracy"] for s in ours] == [s["accuracy"] for s in reference]
    assert np.allclose([s["loss"] for s in ours], [s["loss"] for s in reference], rtol=1e-4)


def test_scores_do_not_depend_on_company(eval_batches: EvalBatches) -> None:
    net, rng = shake(tiny()), np.random.default_rng(0)
    archs = list(dict.fromkeys(Arch.sample(choices(net), rng) for _ in range(8)))
    together = score_population(net, archs, eval_batches, CLASSES)
    assert [score_population(net, [arch], eval_batches, CLASSES)[0] for arch in archs] == together
    assert score_population(net, archs[::-1], eval_batches, CLASSES)[::-1] == together


def test_statistics_come_from_the_calibration_images_alone(eval_batches: EvalBatches) -> None:
    net = shake(tiny())
    arch = Arch.sample(choices(net), np.random.default_rng(0))
    before = score_one(net, arch, eval_batches)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn_like(module.bias)
    assert score_one(net, arch, eval_batches) == before == score_one(net, arch, eval_batches)
    fewer = EvalBatches(eval_batches.calibration[:1], eval_batches.val_batches)
    assert score_one(net, arch, fewer) != before


def test_an_exam_is_fixed_and_from_the_right_splits(data: Data) -> None:
    first, second = (make_eval_batches(data, 128, 100, 64, seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.calibration, second.calibration, strict=True))
    assert first.examples == 100
    val = {tuple(image.flatten().tolist()) for image in data.prepared(data.val.inputs)}
    asked = torch.cat([x for x, _ in first.val_batches])
    assert all(tuple(image.flatten().tolist()) in val for image in asked)


@pytest.mark.parametrize("make", [tiny, NotSequential, Segments, in_place])
@pytest.mark.parametrize("memory", [0, 2**20, 2**30])
def test_scores_do_not_depend_on_what_is_kept(make: type[nn.Module], memory: int, eval_batches: EvalBatches) -> None:
    net, rng = shake(make()), np.random.default_rng(0)
    archs = list(dict.fromkeys(Arch.sample(choices(net), rng) for _ in range(12)))
    scorer = Scorer(net, eval_batches, CLASSES, memory)
    in_turn = [score for i in range(0, len(archs), 4) for score in scorer(archs[i : i + 4])]
    assert in_turn == score_population(net, archs, eval_batches, CLASSES)
    assert scorer(archs) == in_turn
    assert scorer.cache.used <= memory
    assert [s["accuracy"] for s in in_turn] == [score_one(net, arch, eval_batches)["accuracy"] for arch in archs]


@pytest.mark.parametrize(("memory", "runs_stem"), [(0, True), (2**30, False)])
def test_kept_prefixes_are_not_run_again(memory: int, runs_stem: bool, eval_batches: EvalBatches) -> None:
    net = shake(tiny())
    *_, last = questions = choices(net)
    parent = Arch.sample(questions, np.random.default_rng(0))
    child = parent.replace({last: ((parent[last][0] + 1) % len(questions[last].options),)})
    scorer = Scorer(net, eval_batches, CLASSES, memory)
    scorer([parent])
    inputs: list[int] = []
    hook = register_module_forward_pre_hook(
        lambda module, args: inputs.append(args[0].shape[1]) if isinstance(module, nn.Conv2d) else None
    )
    scorer([child])
    hook.remove()
    assert (1 in inputs) == runs_stem  # only the stem reads one channel
    assert len(inputs) > 0


def test_progress_counts_candidates(eval_batches: EvalBatches) -> None:
    net, rng = shake(tiny()), np.random.default_rng(0)
    archs = list(dict.fromkeys(Arch.sample(choices(net), rng) for _ in range(5)))
    told: list[float] = []
    Scorer(net, eval_batches, CLASSES)([*archs, archs[0]], told.append)
    assert told == sorted(told)
    assert len(told) == len(archs) * (len(eval_batches.calibration) + len(eval_batches.val_batches))
    assert told[-1] == len(archs)


def test_many_batches_add_up_alike_for_any_number_of_candidates(data: Data) -> None:
    """The order in which a tensor is summed over one dimension depends on its other dimensions."""
    net, rng = shake(tiny()), np.random.default_rng(0)
    many = make_eval_batches(data, calibration=20, val=0, batch=4, seed=0)
    archs = list(dict.fromkeys(Arch.sample(choices(net), rng) for _ in range(6)))
    together = score_population(net, archs, many, CLASSES)
    assert [score_population(net, [arch], many, CLASSES)[0] for arch in archs] == together
