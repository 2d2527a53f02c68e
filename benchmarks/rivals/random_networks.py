"""What searches found beside random networks of equal cost: all are trained at once, on one GPU.

    python random_networks.py RUN... --images FILE --out FILE

Every run folder gives the network that its search found and random ones within 5 % of its cost, with fresh weights.
All get the same images (those of the test apart), steps and rates; the images are neither shifted nor flipped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from task import images, say
from torch import nn
from training import Settings, accuracy, train_all

from sparsenas.job.stages.compare import random_band
from sparsenas.job.stand_in import open_with_or_without_data
from sparsenas.job.trained import found

TOLERANCE = 0.05
"""By which share of the cost of the found network that of random ones may differ."""
Job = tuple[dict[str, Any], nn.Module]


def networks(folder: Path, random: int, repeats: int) -> Iterator[Job]:
    """The found network, so many times with different weights, and random ones of its cost."""
    opened = open_with_or_without_data(folder, [])
    task, best = opened.task, found(opened.run, opened.task.choices)
    kinds = [(f"found {i}", best) for i in range(repeats)]
    kinds += [(f"random {i}", arch) for i, arch in enumerate(random_band(task, best, random, [TOLERANCE]))]
    for name, arch in kinds:
        line = {"run": folder.name, "seed": task.seed, "name": name, "arch": arch.text(), **task.costs(arch)}
        yield line, task.plain(arch, name)


def main() -> None:
    """Writes a line for each network, and goes on where it was stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--random", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3, help="trainings of every found network")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--together", type=int, default=12, help="networks that are trained at the same time")
    parser.add_argument("--most", type=int, help="images of each part, for a trial")
    args = parser.parse_args()
    lines = args.out.read_text().splitlines() if args.out.exists() else []
    known = {(line["run"], line["name"]) for line in map(json.loads, lines)}
    jobs = [job for run in args.runs for job in networks(run, args.random, args.repeats)]
    jobs = [(line, net) for line, net in jobs if (line["run"], line["name"]) not in known]
    data = images(args.images, args.device, args.most)
    settings = Settings(args.epochs, args.batch, args.lr, shift=0, flip=False)
    for first in range(0, len(jobs), args.together):
        group, started = jobs[first : first + args.together], time.time()
        nets = [net.to(args.device) for _, net in group]
        train_all(nets, *data.train_val, settings, [first + i for i in range(len(nets))], args.together)
        for (line, _), net in zip(group, nets, strict=True):
            told = {"test": accuracy(net, *data.test), "epochs": args.epochs, "batch": args.batch, "lr": args.lr}
            line |= told | {"group_s": time.time() - started, "group": len(group)}
            with args.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            say({key: line[key] for key in ("run", "name", "flops", "test", "group_s")})


if __name__ == "__main__":
    main()
