"""Two trained networks made smaller by every tool: the same images, augmentation, optimizer and epochs for all.

    python head_to_head.py checkpoints --images FILE --out FOLDER
    python head_to_head.py searches --images FILE --out FOLDER
    python head_to_head.py trainings --images FILE --out FOLDER

The steps add to the folder what is missing there, so each may be repeated. After the checkpoint every network gets
``AFTER`` epochs: those of its supernet, if the tool trains one, then those of the found network from its inherited
weights. Networks shrunk by hand are trained from scratch as long as checkpoint and all that together.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from originals import NETS
from searches import BUDGETS, SEEDED, UNSEEDED
from task import images, network, say
from torch import nn
from training import Settings, accuracy, train_all

CHECKPOINT, AFTER, SUPERNET = 30, 12, 5
"""Epochs."""
SEEDS = (0, 1, 2)
SCRATCH = "hand-shrunk"
TAUGHT, UNTAUGHT = ", taught", (SCRATCH, "random")
TRAINS_SUPERNET = ("autonas", "sparsenas spos", "sparsenas dso")


def epochs(name: str) -> int:
    """Of the last training of a network."""
    if name == SCRATCH:
        return CHECKPOINT + AFTER
    return AFTER - SUPERNET if name.removesuffix(TAUGHT) in TRAINS_SUPERNET else AFTER


def checkpoints(args: argparse.Namespace) -> None:
    """Trains both networks; the validation images are left out."""
    args.out.mkdir(parents=True, exist_ok=True)
    data = images(args.images, args.device, args.most)
    names = [name for name in args.nets if not (args.out / f"{name}.pt").exists()]
    nets = []
    for name in names:
        torch.manual_seed(0)
        nets.append(NETS[name]().to(args.device))
    settings = Settings(args.epochs or CHECKPOINT, args.batch, lr=0.2)
    started = time.time()
    train_all(nets, *data.train, settings, [0] * len(nets))
    for name, net in zip(names, nets, strict=True):
        torch.save(net.cpu().state_dict(), args.out / f"{name}.pt")
        told = {"net": name, "seconds": time.time() - started}
        net.to(args.device)
        for part in ("train", "val", "test"):
            told[part] = accuracy(net, *getattr(data, part))
        _write(args.out / "checkpoints.jsonl", told)


def searches(args: argparse.Namespace) -> None:
    """Runs every tool in a process of its own, several at once."""
    seeds = {tool: SEEDS if tool in SEEDED else (0,) for tool in args.tools}
    jobs = [(tool, net, seed) for net in args.nets for tool in args.tools for seed in seeds[tool]]
    known = {(line["tool"], line["net"], line["seed"]) for line in _lines(args.out / "finished.jsonl")}
    script = str(Path(__file__).with_name("searches.py"))
    flags = ["--images", str(args.images), "--out", str(args.out), "--batch", str(args.batch)]
    flags += ["--epochs", str(args.epochs or SUPERNET)] + (["--most", str(args.most)] if args.most else [])

    def run(job: tuple[str, str, int]) -> None:
        started = time.time()
        if started > args.stop:
            return
        tool, net, seed = job
        log = args.out / f"{tool}-{net}-{seed}.log"
        with log.open("w") as file:
            command = [sys.executable, script, tool, net, str(seed), *flags]
            rc = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
        line = {"tool": tool, "net": net, "seed": seed, "seconds": time.time() - started, "rc": rc}
        say(line, "" if rc == 0 else log.read_text()[-800:])
        if rc == 0:
            _write(args.out / "finished.jsonl", line)

    with ThreadPoolExecutor(args.workers) as pool:
        list(pool.map(run, [job for job in jobs if job not in known]))


def trainings(args: argparse.Namespace) -> None:
    """Trains all found networks, those of the same number of epochs together."""
    data = images(args.images, args.device, args.most)
    known = {(line["name"], line["file"], line["training_seed"]) for line in _lines(args.out / "trainings.jsonl")}
    lines = [line for line in _lines(args.out / "searches.jsonl") if line["net"] in args.nets]
    lines = [line for line in lines if line["budget"] in args.budgets]
    if args.found:
        lines = [line for line in lines if line["name"] in args.found]
    if args.taught:
        lines = [{**line, "name": line["name"] + TAUGHT} for line in lines if not line["name"].startswith(UNTAUGHT)]
    jobs = [(line, seed) for line in lines for seed in _seeds(line) if (line["name"], line["file"], seed) not in known]
    jobs.sort(key=_order)
    for group in _groups(jobs, args.together):
        if time.time() > args.stop:
            say("stopped before", len(group), "networks of", group[0][0]["name"])
            continue
        nets = [torch.load(args.out / line["file"], weights_only=False).to(args.device) for line, _ in group]
        before = [accuracy(net, *data.val) for net in nets]
        teachers = [_original(args, line["net"]) if args.taught else None for line, _ in group]
        first = group[0][0]["name"]
        settings = Settings(args.epochs or epochs(first), args.batch, lr=_rate(first))
        started = time.time()
        train_all(nets, *data.train_val, settings, [seed for _, seed in group], args.together, teachers)
        for (line, seed), net, inherited in zip(group, nets, before, strict=True):
            told = {"training_seed": seed, "inherited_val": inherited, "test": accuracy(net, *data.test)}
            told |= {"epochs": settings.epochs, "group_s": time.time() - started, "group": len(group)}
            _write(args.out / "trainings.jsonl", {**line, **told})


def _order(job: tuple[dict[str, Any], int]) -> tuple[Any, ...]:
    """What tells most comes first: the tools seed by seed, then longer trainings from scratch, then random networks."""
    (line, seed), name = job, job[0]["name"]
    rank = seed + 1.5 * (name == SCRATCH)
    return name.startswith("random"), rank, epochs(name), line["net"], line["budget"]


def _original(args: argparse.Namespace, name: str) -> nn.Module:
    return network(name, args.out / f"{name}.pt", args.device)


def _rate(name: str) -> float:
    return 0.2 if name == SCRATCH else 0.1


def _seeds(line: dict[str, Any]) -> tuple[int, ...]:
    """Of the trainings of a found network: together with the seeds of the search they are three."""
    if line["name"].removesuffix(TAUGHT) in TRAINS_SUPERNET:
        return (line["seed"],)
    return SEEDS if not line["name"].startswith("random") else (int(line["name"].split()[1]),)


def _groups(jobs: list[Any], size: int) -> Iterator[list[Any]]:
    """Jobs in order, in groups of networks with the same number of epochs and the same rate."""
    group: list[Any] = []
    for job in jobs:
        same = group and (epochs(group[0][0]["name"]), _rate(group[0][0]["name"])) == (
            epochs(job[0]["name"]),
            _rate(job[0]["name"]),
        )
        if group and (len(group) == size or not same):
            yield group
            group = []
        group.append(job)
    if group:
        yield group


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _write(path: Path, line: dict[str, Any]) -> None:
    with path.open("a") as lines:
        lines.write(json.dumps(line) + "\n")
    say(line)


STEPS = {"checkpoints": checkpoints, "searches": searches, "trainings": trainings}


def main() -> None:
    """Runs one step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--epochs", type=int, help="for a trial")
    parser.add_argument("--most", type=int, help="images of each part, for a trial")
    parser.add_argument("--tools", nargs="+", choices=SEEDED + UNSEEDED, default=UNSEEDED + SEEDED)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--budgets", nargs="+", type=float, choices=BUDGETS, default=BUDGETS, help="of trainings")
    parser.add_argument("--found", nargs="+", metavar="NAME", help="of trainings; all by default")
    parser.add_argument("--taught", action="store_true", help="trainings with the original network as the teacher")
    parser.add_argument("--workers", type=int, default=2, help="processes that search at the same time")
    parser.add_argument("--together", type=int, default=16, help="networks that are trained at the same time on a GPU")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing new after this time")
    args = parser.parse_args()
    args.stop = time.time() + args.seconds
    STEPS[args.step](args)


if __name__ == "__main__":
    main()
