"""The tables of a report."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence

from sparsenas.reporting.markup import Html, element, table
from sparsenas.reporting.numbers import NONE, count, mebibytes, number, percent, seconds
from sparsenas.reporting.read import Json, Limit, RunFiles, finished, numbers, objects, section

_LONG = {
    "flops": "multiply-adds",
    "params": "parameters",
    "memory_access": "elements read and written",
    "bitops": "bit operations",
    "latency_ms": "latency in ms",
}
_OFTEN_ZERO = {"bitops"}
"""Costs that are 0 where a space does not ask for them; they are left out then."""
_APART = {"versions", "machine"}


def costs(run: RunFiles) -> Html:
    """What the found network costs: the value, the budget and the place in the space's range."""
    ranges = section(run.space, "range")
    rows = []
    for cost, value in run.costs.items():
        if not value and cost in _OFTEN_ZERO:
            continue
        limits = [limit for limit in run.limits if limit.cost == cost]
        low, high = _range(ranges.get(cost))
        bounds = NONE if low is None else f"{count(low)} to {count(high)}"
        rows.append(
            [_cost_name(cost), count(value), _limits(limits), _used(limits, value), bounds, _place(value, low, high)]
        )
    return table(["cost", "found network", "budget", "of the limit", "range of the space", "place in the range"], rows)


def _cost_name(cost: str) -> Html:
    long = _LONG.get(cost)
    return element("span", {}, cost, *([element("small", {}, f" {long}")] if long else []))


def _limits(limits: Sequence[Limit]) -> str:
    signs = {True: "\u2264", False: "\u2265"}
    return ", ".join(f"{signs[limit.upper]} {count(limit.bound)}" for limit in limits) or NONE


def _used(limits: Sequence[Limit], value: float) -> str:
    return ", ".join(percent(value / limit.bound) for limit in limits if limit.bound) or NONE


def _range(bounds: object) -> tuple[float | None, float | None]:
    if not isinstance(bounds, list) or len(bounds) != 2:
        return None, None
    low, high = map(number, bounds)
    return (low, high) if low is not None and high is not None else (None, None)


def _place(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None or high <= low:
        return NONE
    share = (value - low) / (high - low)
    fill = element("span", {"class": "fill", "style": f"width:{100 * min(max(share, 0), 1):.1f}%"})
    return element("span", {"class": "place"}, element("span", {"class": "bar"}, fill), f" {percent(share)}")


def accuracies(run: RunFiles) -> Html:
    """Accuracy and loss of the found network, and of the random architectures together."""
    listed = [
        ("Inherited weights, held-out images", section(run.best, "val")),
        (
            f"Inherited weights, {section(run.results, 'inherited').get('split', 'test')} images",
            section(run.results, "inherited"),
        ),
        (
            f"{run.how_trained.capitalize()}, {section(run.results, 'retrained').get('split', 'test')} images",
            section(run.results, "retrained"),
        ),
    ]
    rows = [[name, percent(number(of.get("accuracy"))), _loss(of.get("loss"))] for name, of in listed if of]
    values = [float(baseline["accuracy"]) for baseline in run.baselines]
    if values:
        rows.append([f"Random architectures ({len(values)}), mean", percent(statistics.fmean(values)), _mean_loss(run)])
        rows.append(["Random architectures, best", percent(max(values)), NONE])
    for entry in run.compared:
        rows.append([str(entry.get("name", "")), percent(number(entry.get("accuracy"))), _loss(entry.get("loss"))])
    return table(["", "accuracy", "loss"], rows)


def _loss(value: object) -> str:
    known = number(value)
    return NONE if known is None else f"{known:.3f}"


def _mean_loss(run: RunFiles) -> str:
    losses = [loss for baseline in run.baselines if (loss := number(baseline.get("loss"))) is not None]
    return _loss(statistics.fmean(losses)) if losses else NONE


def baselines(run: RunFiles) -> Html:
    """Every architecture trained to compare with, best first, the found one among them."""
    others = [*run.baselines, *run.compared]
    listed = [(cost, value) for one in others for cost, value in numbers(section(one, "costs")).items()]
    named = [*dict.fromkeys(cost for cost, value in listed if value or cost not in _OFTEN_ZERO)]
    entries = [(str(one.get("name", one.get("text", ""))), one, section(one, "costs"), False) for one in others]
    retrained = section(run.results, "retrained")
    if number(retrained.get("accuracy")) is not None:
        entries.append((run.text, retrained, section(run.best, "costs"), True))
    entries.sort(key=lambda entry: -float(entry[1]["accuracy"]))
    rows = []
    for text, trained, its, found in entries:
        name = element("strong" if found else "span", {}, element("code", {}, text), " (found)" if found else "")
        scores = [percent(number(trained.get("accuracy"))), _loss(trained.get("loss"))]
        rows.append([name, *scores, *(count(number(its.get(cost))) for cost in named)])
    return table(["architecture", "accuracy", "loss", *named], rows)


def front(run: RunFiles) -> Html:
    """The points of the front, cheapest first."""
    listed = objects(run.front.get("points"))
    named = [*dict.fromkeys(cost for point in listed for cost, value in numbers(point).items() if value)]
    rows = []
    for point in listed:
        name = element("code", {}, str(point.get("text", "")))
        scores = [percent(number(point.get("accuracy"))), _loss(point.get("loss"))]
        rows.append([name, *scores, *(count(number(point.get(cost))) for cost in named)])
    return table(["architecture", "accuracy", "loss", *named], rows)


_MANY = {"baselines": "baseline", "compare": "against"}
"""Stages that train one network after another, and how the names of those trainings begin."""


def stages(run: RunFiles) -> Html:
    """What every stage took, and how far the unfinished ones are."""
    trained = run.training()
    done = run.done()
    rows = [_stage(str(line.get("stage")), line, trained) for line in done]
    rows += [_stage(progress, {}, {progress: lines}) for progress, lines in _unfinished(run).items()]
    times = [number(line.get("seconds")) for line in done]
    peaks = [peak for line in done if (peak := number(line.get("peak_memory_mib"))) is not None]
    if len(rows) > 1:
        known = seconds(sum(time for time in times if time is not None))
        highest = mebibytes(max(peaks)) if peaks else NONE
        totals = [element("strong", {}, cell) for cell in ("all stages", known, highest)]
        rows.append([*totals, "", "", "", ""])
    head = ["stage", "time", "peak memory", "evaluations", "passes over the data", "candidates rejected", "images/s"]
    used = [i for i in range(len(head)) if i < 2 or any(row[i] not in {NONE, ""} for row in rows)]
    return table([head[i] for i in used], [[row[i] for i in used] for row in rows])


def _unfinished(run: RunFiles) -> dict[str, list[Json]]:
    """The trainings of stages that have not ended, by what to call them; of random architectures the last one."""
    names = {str(line.get("stage")) for line in run.done()}
    found = {}
    for stage, lines in run.training().items():
        of = next((kind for kind in _MANY if stage.startswith(_MANY[kind])), stage)
        if of not in names:
            found[of] = f"{stage} (not finished: epoch {finished(lines[-1])} of {lines[-1].get('epochs', '?')})", lines
    return dict(found.values())


def _stage(name: str, done: Json, trained: dict[str, list[Json]]) -> list[str]:
    lines = [line for stage, of in trained.items() if stage == name or _is_baseline(stage, name) for line in of]
    speeds = [speed for line in lines if (speed := number(line.get("images_per_s"))) is not None]
    counts = [count(number(done.get(key))) for key in ("evaluations", "data_passes", "candidates_rejected")]
    typical = count(round(statistics.median(speeds))) if speeds else NONE
    return [
        name,
        seconds(number(done.get("seconds"))),
        mebibytes(number(done.get("peak_memory_mib"))),
        *counts,
        typical,
    ]


def _is_baseline(stage: str, name: str) -> bool:
    return name in _MANY and stage.startswith(_MANY[name])


def flags(run: RunFiles) -> Html:
    """Every flag the run was started with."""
    given = {key: value for key, value in run.config.items() if key not in _APART}
    given = {f"--{name}": value for name, value in _flat(given, "")}
    if "--command" in given:
        given = {"command": given.pop("--command"), **given}
    rows = [[element("code", {}, name), element("code", {}, value)] for name, value in given.items()]
    return table(["flag", "value"], rows, words=2)


def machine(run: RunFiles) -> Html:
    """Seed, versions and machine."""
    rows = [["seed", str(run.config.get("seed", NONE))]]
    rows += [[name, str(version)] for name, version in section(run.config, "versions").items()]
    rows.append(["machine", str(run.config.get("machine", NONE))])
    return table(["run with", ""], rows, words=2)


def confusions(run: RunFiles) -> Html | None:
    """The most frequent mistakes on the test images."""
    counted, names = run.results.get("confusion"), run.space.get("classes")
    if not isinstance(counted, list) or not isinstance(names, list) or len(counted) != len(names):
        return None
    wrong = [
        (n, str(names[true]), str(names[predicted]))
        for true, row in enumerate(counted)
        for predicted, n in enumerate(row)
        if n and predicted != true
    ]
    rows = [[true, taken, count(n)] for n, true, taken in sorted(wrong, key=lambda entry: -entry[0])[:8]]
    return table(["true class", "taken for", "images"], rows, words=2) if rows else None


def _flat(values: Json, prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{name}.")
        elif isinstance(value, list) and value and not any(isinstance(entry, dict | list) for entry in value):
            yield name, ", ".join(map(_plain, value))
        else:
            yield name, _plain(value)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
