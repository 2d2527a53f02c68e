"""Opens networks that nobody wrote for this library, and checks every one: a line of JSON each, then a table.

    python benchmarks/zoo.py --out zoo.jsonl [pytorchcv:resnet20_cifar10 timm:resnet18 hf:vit torchvision:swin_t ...]

Needs ``pip install --no-deps pytorchcv timm torchvision transformers`` and what those import. Weights are random.
For each network: full size equals the original; random architectures equal their derived networks; costs equal those
counted by hooks; the smallest one runs. With ``--onnx 90`` the smallest derived network and a random one are exported
to ONNX for any batch size, and give in ONNX Runtime what they give in PyTorch; 90 seconds are the limit.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

import sparsenas
from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices, set_gates
from sparsenas.costs.layer import COSTS
from sparsenas.errors import UserError, first_line
from sparsenas.exporting import onnx_feeds, onnx_model
from sparsenas.opening.opened import OpenedNetwork

CIFAR = (
    "resnet20 preresnet20 densenet40_k12 seresnet20 shakeshakeresnet20_2x16d wrn16_10 nin pyramidnet110_a48 "
    "resnext29_32x4d sepreresnet20 ror3_56 rir diaresnet20 xdensenet40_2_k24_bc wrn20_10_1bit resdropresnet20"
)
LARGE = (
    "resnet18 vgg11 alexnet preresnet18 seresnet18 mobilenetv2_w1 efficientnet_b0 mnasnet_b1 densenet121 ghostnet "
    "hrnet_w18_small_v1 dla34 inceptionv3 xception darts fbnet_cb proxylessnas_gpu bagnet9 selecsls42 mobilenet_w1 "
    "squeezenet_v1_0 vovnet27s shufflenetv2_w1 shufflenet_g1_w1 menet108_8x1_g3 mobilenetv3_small_w1 resnext26_32x4d "
    "regnetx002 regnety002 igcv3_w1 condensenet74_c4_g4 resnesta18 airnet50_1x64d_r2 bninception peleenet spnasnet "
    "nasnet_4a1056 pnasnet5large dpn68 bam_resnet18 cbam_resnet18 seresnext50_32x4d senet16 resneta10 resnetd50b "
    "fishnet99 espnetv2_wd2 diracnet18v2 fdmobilenet_w1 hardnet39ds zfnet mixnet_s scnet50 channelnet "
    "inceptionresnetv1 polynet drnc26 efficientnet_edge_small_b bn_vgg11 inceptionv4 octresnet10_ad2 resattnet56 "
    "sparsenet121 isqrtcovresnet18 revnet38 mobilenetb_w1"
)
OTHERS = {
    "hf": "ResNet MobileNetV2 ConvNext ViT DeiT Swin Segformer",
    "timm": "vit_tiny_patch16_224 mobilenetv4_conv_small convnextv2_atto swin_tiny_patch4_window7_224 "
    "efficientformer_l1 regnety_002 mixer_s16_224 mobilevit_xxs",
    "torchvision": "resnet18 mobilenet_v2 mobilenet_v3_small densenet121 vit_b_16 swin_t shufflenet_v2_x0_5 "
    "convnext_tiny googlenet regnet_x_400mf",
}
FAMILIES = (
    "starnet_s050 edgenext_xx_small mobilenetv3_small_050 ese_vovnet19b_slim_dw tinynet_e repghostnet_050 "
    "efficientvit_m0 ghostnet_050 cspnext_tiny iformer_t xcit_nano_12_p8_224 cs3darknet_focus_s "
    "efficientvit_b0 swiftformer_xs efficientformerv2_s0 pvt_v2_b0 convnext_atto_rms fasternet_t0 "
    "lcnetv2_small inception_next_atto rexnet_100 mobileone_s1 hardcorenas_a repvit_m0_9 coat_tiny "
    "convit_tiny deit_tiny_patch16_224 eva02_tiny_patch14_336 hgnetv2_b0 shvit_s1 vit_tiny_r_s16_p8_224 "
    "cpubone_nano efficientvim_m1 crossvit_tiny_240 maxvit_pico_rw_256 fastvit_t12 densenet121 "
    "vit_xsmall_patch16_clip_224 nf_regnet_b0 dpn48b levit_128 resnet14t visformer_tiny "
    "eca_botnext26ts_256 resnest14d csatv2 resnetv2_18 legacy_seresnet18 poolformerv2_s12 skresnet18 "
    "gcvit_xxtiny tiny_vit_5m_224 gmixer_12_224 hrnet_w18_small lowformer_b0 dla34 nest_tiny_jx "
    "regnetv_040 convmixer_768_32 vit_srelpos_small_patch16_224 vitamin_small_224 legacy_xception "
    "tnt_s_legacy_patch16_224 inception_v3 rdnet_tiny twins_svt_small mvitv2_tiny res2next50 "
    "mambaout_tiny volo_d1_224 xception41 hiera_tiny_224 swinv2_cr_tiny_224 swinv2_tiny_window16_256 "
    "davit_tiny focalnet_tiny_srf selecsls42 nextvit_small hieradet_small inception_v4 "
    "inception_resnet_v2 tresnet_l mobilenetv5_base beit_base_patch16_224 naflexvit_base_patch16_gap "
    "pit_xs_distilled_224 cait_xxs24_224 sequencer2d_s vgg11"
)
"""The smallest network of every other family of timm 1.0.31."""
ARCHS = 20


def names() -> list[str]:
    """All networks, as library:name."""
    found = [f"pytorchcv:{name}_cifar10" for name in CIFAR.split()] + [f"pytorchcv:{name}" for name in LARGE.split()]
    found += [f"{library}:{name}" for library, listed in OTHERS.items() for name in listed.split()]
    return found + [f"timm:{name}" for name in FAMILIES.split()]


def build(name: str) -> tuple[nn.Module, Tensor]:
    """A network and an input."""
    library, _, model = name.partition(":")
    return {"pytorchcv": _pytorchcv, "hf": _hf, "timm": _timm, "torchvision": _torchvision}[library](model)


def _pytorchcv(name: str) -> tuple[nn.Module, Tensor]:
    from pytorchcv.model_provider import get_model

    net = get_model(name, pretrained=False)
    size = 32 if name.endswith("cifar10") else getattr(net, "in_size", (224, 224))[0]
    return net, torch.randn(1, 3, size, size)


def _hf(name: str) -> tuple[nn.Module, Tensor]:
    import transformers

    task = "ForSemanticSegmentation" if name == "Segformer" else "ForImageClassification"
    config = getattr(transformers, f"{name}Config")()
    return getattr(transformers, name + task)(config), torch.randn(1, 3, 224, 224)


def _timm(name: str) -> tuple[nn.Module, Tensor]:
    import timm

    net = timm.create_model(name, pretrained=False)
    return net, torch.randn(1, *net.default_cfg["input_size"])


def _torchvision(name: str) -> tuple[nn.Module, Tensor]:
    import torchvision

    return torchvision.models.get_model(name, weights=None), torch.randn(1, 3, 224, 224)


def wake(net: nn.Module, x: Tensor) -> None:
    """Makes the output of an untrained network depend on its input, so that comparisons tell something.

    Weights that are zero are drawn; batch norms get the statistics of a batch, or signals would fade layer by layer.
    """
    for parameter in net.parameters():
        if parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        net.train()(torch.randn(4, *x.shape[1:]))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    net.eval()


def check(net: nn.Module, x: Tensor, archs: int, onnx: int) -> dict[str, Any]:
    """What was opened, and the largest differences between what must be equal; with ``onnx`` seconds for ONNX files."""
    wake(net, x)
    start = time.perf_counter()
    space = sparsenas.open(net, x)
    seconds = time.perf_counter() - start
    found, rng = choices(space), np.random.default_rng(0)
    smallest, largest = Arch(found, space.smallest()), Arch(found, space.largest())
    sampled = [Arch.sample(found, rng) for _ in range(archs)]
    differences = [_difference(space.eval(), arch, x) for arch in (smallest, *sampled)]
    table = sparsenas.CostTable(space, tuple(x.shape[1:]), {n: COSTS[n] for n in ("flops", "params")})
    counted = [_hooked(sparsenas.derive(space, arch.gates()), x) for arch in (smallest, largest, *sampled[:3])]
    told = [table.exact(arch) for arch in (smallest, largest, *sampled[:3])]
    with torch.no_grad():
        set_gates(space, largest.gates())
        full = _relative(_logits(space(x)), _logits(net(x)))
        moved = _relative(_logits(net(torch.randn_like(x))), _logits(net(x)))
    return {
        "seconds": round(seconds, 2),
        "choices": len(found),
        "share": round(space.coverage.share, 4),
        "full": full,
        "moved": moved,
        "archs": max(differences),
        "costs": [(mine["flops"], mine["params"]) for mine in told] == counted,
        "flops": told[1]["flops"],
        "smallest": round(told[0]["flops"] / told[1]["flops"], 4),
        "closed": _reasons(space),
        **(_onnx([sparsenas.derive(space, arch.gates()) for arch in (smallest, sampled[0])], x, onnx) if onnx else {}),
    }


def _difference(space: OpenedNetwork, arch: Arch, x: Tensor) -> float:
    """Between the opened network under an architecture and its derived network."""
    with torch.no_grad():
        plain = sparsenas.derive(space, arch.gates()).eval()
        set_gates(space, arch.gates())
        return _relative(_logits(space(x)), _logits(plain(x)))


def _relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-37))


def _onnx(nets: list[nn.Module], x: Tensor, seconds: int) -> dict[str, Any]:
    """The largest difference between networks and their ONNX files, on two inputs, or why there is none."""
    batch, start = torch.cat([x, torch.randn_like(x)]), time.perf_counter()
    signal.alarm(seconds)
    try:
        onnx = max(_exported_difference(net.eval(), batch) for net in nets)
    except (Exception, _TimedOut) as error:  # an exporter raises whatever it likes, also in place of what was raised
        late = time.perf_counter() - start >= seconds
        return {"onnx_failed": f"not within {seconds} s" if late else _first_cause(error)[:200]}
    finally:
        signal.alarm(0)
    return {"onnx": onnx, "onnx_seconds": round(time.perf_counter() - start, 1)}


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {first_line(error)}"


def _exported_difference(net: nn.Module, batch: Tensor) -> float:
    """Between a network and its ONNX file of any batch size."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = onnx_model(net, batch, any_batch=True)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found = session.run(None, onnx_feeds([given.name for given in session.get_inputs()], batch))[0]
    with torch.no_grad():
        return _relative(torch.from_numpy(found), _logits(net(batch)))


class _TimedOut(BaseException):
    """Exporters catch every ``Exception`` and try another way."""


def _time_out(*_: object) -> None:
    raise _TimedOut


def _logits(output: Any) -> Tensor:
    """The first tensor of an output."""
    if isinstance(output, Tensor):
        return output
    return _logits(next(iter(output.values())) if isinstance(output, dict) else output[0])


def _hooked(net: nn.Module, x: Tensor) -> tuple[int, int]:
    """The multiply-adds by hooks on convolutions and linear layers and of products of activations; the parameters."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        net.eval().requires_grad_(False)(x)  # the counter cannot follow a parameter that is an input
    torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops() // 2, sum(p.numel() for p in net.parameters())


def _reasons(space: OpenedNetwork) -> dict[str, int]:
    """How many layers were closed, by reason, the commonest first."""
    counts: dict[str, int] = {}
    for reason in space.coverage.closed.values():
        key = reason.partition(" (")[0][:80]
        counts[key] = counts.get(key, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1])[:3])


def lines(wanted: list[str], archs: int, onnx: int) -> Iterator[dict[str, Any]]:
    """The result of each network."""
    for name in wanted:
        torch.manual_seed(0)
        try:
            net, x = build(name)
        except Exception as error:
            yield {"name": name, "missing": f"{type(error).__name__}: {error}"[:120]}
            continue
        try:
            yield {"name": name, **check(net, x, archs, onnx)}
        except UserError as error:
            yield {"name": name, "refused": str(error)[:200]}
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            yield {"name": name, "crashed": f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"[:300]}


def table(results: list[dict[str, Any]]) -> str:
    """The results as a table of Markdown."""
    head = ("network", "under choice", "choices", "smallest", "s", "full size")
    head = (*head, "architectures", "ONNX", "costs", "closed")
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for r in results:
        if "share" not in r:
            said = next(r[key] for key in ("missing", "refused", "crashed") if key in r)
            rows.append(f"| {r['name']} | - | - | - | - | - | - | - | - | {said} |")
            continue
        closed = "; ".join(f"{count}: {reason}" for reason, count in r["closed"].items())
        cells = [f"{r['share']:.0%}", r["choices"], f"{r['smallest']:.1%}", f"{r['seconds']:.1f}"]
        onnx = f"{r['onnx']:.0e}" if "onnx" in r else r.get("onnx_failed", "-")
        cells += [f"{r['full']:.0e}", f"{r['archs']:.0e}", onnx, "equal" if r["costs"] else "DIFFER", closed]
        rows.append(f"| {r['name']} | {' | '.join(map(str, cells))} |")
    return "\n".join(rows)


def main() -> None:
    """Runs the zoo, or what is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--out", default="zoo.jsonl")
    parser.add_argument("--archs", type=int, default=ARCHS)
    parser.add_argument("--onnx", type=int, default=0, metavar="SECONDS", help="for the ONNX files of one network")
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, _time_out)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    out = Path(options.out)
    done = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    wanted = [name for name in options.names or names() if name not in {result["name"] for result in done}]
    for result in lines(wanted, options.archs, options.onnx):
        done.append(result)
        with out.open("a") as file:
            file.write(json.dumps(result) + "\n")
        print(json.dumps(result), flush=True)
    print(table(done))


if __name__ == "__main__":
    main()
