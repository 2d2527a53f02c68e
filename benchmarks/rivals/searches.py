"""One tool on one network with one seed: the found networks with their weights, before they are trained on.

    python searches.py TOOL NET SEED --images FILE --out FOLDER

A tool whose search is not random is run with seed 0 alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from task import Images, costs, images, network, say, shrunk
from torch import nn
from training import Settings

BUDGETS = (0.25, 0.5)
"""Shares of the multiply-adds of the trained network."""
RANDOM = 4
Result = tuple[float, str, nn.Module, dict[str, Any]]
"""Budget, name of the network, network, what it took."""
SEEDED = ("autonas", "spos", "dso")
UNSEEDED = ("hand", "fastnas", "sensitivity", "channels", "pruned", "random")


def found(
    tool: str, net: nn.Module, name: str, data: Images, settings: Settings, seed: int, out: Path
) -> Iterator[Result]:
    """All results of a tool; each tool is imported here only, since not all need be installed."""
    if tool == "hand":
        for share in BUDGETS:
            torch.manual_seed(seed)
            yield share, "hand-shrunk", shrunk(name, share), {}
    elif tool == "pruned":
        from pruning import prune

        ways: dict[str, dict[str, bool]] = {"magnitude": {}, "taylor": {"taylor": True}}
        for way, flags in ways.items():
            for share in BUDGETS:
                yield share, f"torch-pruning, {way}", *prune(net, data, share, **flags)
    elif tool == "fastnas":
        from modelopt_nas import fastnas

        for share in BUDGETS:
            yield share, "fastnas", *fastnas(net, data, share, seed)
    elif tool == "autonas":
        from modelopt_nas import AutoNas

        supernet = AutoNas(net, data, settings, seed)
        for share in BUDGETS:
            yield share, "autonas", *supernet.search(share)
    else:
        from ours import Searches

        ours = Searches(net, data, settings, seed, out / f"runs/{name}-{tool}-{seed}")
        if tool == "spos":
            for share, (small, told) in zip(BUDGETS, ours.spos(list(BUDGETS)), strict=True):
                yield share, "sparsenas spos", small, told
        for share in BUDGETS if tool == "channels" else ():
            yield share, "sparsenas sensitivity, channels", *ours.sensitivity(share, depth=False)
        for share in BUDGETS if tool in ("sensitivity", "dso") else ():
            yield share, f"sparsenas {tool}", *getattr(ours, tool)(share)
        for share in BUDGETS if tool == "random" else ():
            for i, small in enumerate(ours.random(share, RANDOM)):
                yield share, f"random {i}", small, {}


def main() -> None:
    """Writes each network as ``nets/NAME.pt`` and a line of ``searches.jsonl``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tool", choices=SEEDED + UNSEEDED)
    parser.add_argument("net")
    parser.add_argument("seed", type=int)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=10, help="of a supernet")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--most", type=int, help="images of each part, for a trial")
    args = parser.parse_args()
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = images(args.images, device, args.most)
    net = network(args.net, args.out / f"{args.net}.pt", device)
    whole = costs(net)["flops"]
    settings = Settings(args.epochs, args.batch, lr=0.05)
    (args.out / "nets").mkdir(parents=True, exist_ok=True)
    started = time.time()
    for share, name, small, told in found(args.tool, net, args.net, data, settings, args.seed, args.out):
        file = f"nets/{args.net}-{share}-{name.replace(', ', '-').replace(' ', '-')}-{args.seed}.pt"
        torch.save(small.cpu(), args.out / file)
        line = {"net": args.net, "budget": share, "name": name, "seed": args.seed, "file": file, **told}
        line |= costs(small) | {"used": costs(small)["flops"] / whole, "wall_s": time.time() - started}
        with (args.out / "searches.jsonl").open("a") as lines:
            lines.write(json.dumps(line) + "\n")
        say(line)


if __name__ == "__main__":
    main()
