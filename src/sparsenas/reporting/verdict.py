"""What came out of a run, in plain sentences."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sparsenas.reporting.numbers import count, number, percent, points
from sparsenas.reporting.read import Limit, RunFiles, finished, is_training, name_of, section


class Sentence(NamedTuple):
    """One finding and whether it is good news, bad news or still open."""

    mark: Literal["good", "bad", "open"]
    text: str


@dataclass(frozen=True)
class Comparison:
    """The retrained network against random architectures trained alike."""

    found: float
    others: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean accuracy of the random architectures."""
        return statistics.fmean(self.others)

    @property
    def deviation(self) -> float | None:
        """Their standard deviation; ``None`` for a single one."""
        return statistics.stdev(self.others) if len(self.others) > 1 else None

    @property
    def margin(self) -> float:
        """How far the found network is above the mean."""
        return self.found - self.mean


def comparison(run: RunFiles) -> Comparison | None:
    """The comparison with random architectures, once both sides were trained from scratch."""
    found = run.accuracy("retrained")
    others = tuple(float(baseline["accuracy"]) for baseline in run.baselines)
    return Comparison(found, others) if found is not None and others else None


def headline(run: RunFiles) -> str:
    """The one sentence to remember."""
    if not run.best:
        return "No architecture has been found yet"
    retrained, inherited = run.accuracy("retrained"), run.accuracy("inherited")
    if retrained is not None:
        start = f"The found network reaches {_score(run, 'retrained')}"
    elif inherited is not None:
        start = f"With inherited weights the found network reaches {_score(run, 'inherited')}"
    else:
        start = "An architecture was found; it has not been tested yet"
    if not run.limits:
        return _with_random(run, start, ", ")
    costs = run.costs
    within = all(limit.cost in costs and limit.keeps(costs[limit.cost]) for limit in run.limits)
    if not within:
        return f"{start}, but its budget is not shown to be met" if _unknown(run) else f"{start}, over its budget"
    return _with_random(run, f"{start}, within budget", " and ")


def verdict(run: RunFiles) -> list[Sentence]:
    """Everything worth saying about the outcome, most important first."""
    if not run.best:
        return [_searching(run)]
    sentences = [_found(run)]
    sentences += [_budget(limit, run.costs.get(limit.cost)) for limit in run.limits]
    if not run.limits:
        given = ", ".join(run.budgets)
        sentences.append(Sentence("open", f"The budget is not understood: {given}." if given else "No budget was set."))
    return [*sentences, _tested(run), _against_random(run), *_exported(run)]


def _unknown(run: RunFiles) -> bool:
    return any(limit.cost not in run.costs for limit in run.limits)


def _with_random(run: RunFiles, start: str, glue: str) -> str:
    compared = comparison(run)
    if compared is None:
        return start
    if compared.margin > 0:
        return f"{start}{glue}better than random architectures on average"
    return f"{start}, but no better than random architectures on average"


def _score(run: RunFiles, which: str) -> str:
    return f"{percent(run.accuracy(which))} on the {_split(run, which)} set"


def _split(run: RunFiles, which: str) -> str:
    return str(section(run.results, which).get("split", "test"))


def _searching(run: RunFiles) -> Sentence:
    last = next((line for line in reversed(run.log) if is_training(line)), None)
    if last is None and not run.candidates:
        return Sentence("open", "The search has not started.")
    where = f"; last trained: {last.get('stage')}, epoch {finished(last)} of {last.get('epochs', '?')}" if last else ""
    scored = f"; candidates scored: {count(len(run.candidates))}" if run.candidates else ""
    return Sentence("open", f"The search has not finished{where}{scored}.")


def _found(run: RunFiles) -> Sentence:
    size = number(run.space.get("size"))
    among = f" among {count(size)} architectures" if size else ""
    method, space, data = (name_of(run.config.get(key)) for key in ("method", "space", "data"))
    return Sentence("good", f"{method} found {_clipped(run.text) or 'an architecture'}{among} of {space} on {data}.")


def _clipped(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def _budget(limit: Limit, value: float | None) -> Sentence:
    relation = "\u2264" if limit.upper else "\u2265"
    asked = f"{limit.cost} {relation} {count(limit.bound)}"
    if value is None:
        return Sentence("open", f"Budget {asked}: the cost of the found network is not recorded.")
    if value == limit.bound:
        return Sentence("good", f"Budget met: {asked}, and it is exactly {count(value)}.")
    distance = f"{percent(abs(value - limit.bound) / limit.bound)} " if limit.bound else ""
    side = "below" if value < limit.bound else "above"
    if limit.keeps(value):
        return Sentence("good", f"Budget met: {asked}, and it is {count(value)}, {distance}{side} the limit.")
    return Sentence("bad", f"Budget NOT met: {asked}, but it is {count(value)}, {distance}{side} the limit.")


def _tested(run: RunFiles) -> Sentence:
    retrained, inherited = run.accuracy("retrained"), run.accuracy("inherited")
    if retrained is None and inherited is None:
        val = number(section(run.best, "val").get("accuracy"))
        scored = f" On held-out images, with inherited weights, it scored {percent(val)}." if val else ""
        return Sentence("open", f"The found network has not been tested yet.{scored}")
    if retrained is None:
        text = f"Accuracy on the {_split(run, 'inherited')} set with inherited weights: {percent(inherited)}."
        return Sentence("open", f"{text} It has not been retrained yet.")
    how = "after retraining" if run.how_trained == "retrained" else f"({run.how_trained})"
    before = f" (with inherited weights {percent(inherited)})" if inherited is not None else ""
    return Sentence("good", f"Accuracy on the {_split(run, 'retrained')} set {how}: {percent(retrained)}{before}.")


def _against_random(run: RunFiles) -> Sentence:
    compared = comparison(run)
    if compared is None:
        reason = "it has not been retrained" if run.baselines else "no random architectures were trained"
        return Sentence("open", f"Not yet compared with random architectures: {reason}.")
    n, band = len(compared.others), "of the same cost band" if run.limits else "of the same space"
    group = f"the mean of {n} random architectures {band}" if n > 1 else f"one random architecture {band}"
    spread = f", standard deviation {points(compared.deviation)} points" if compared.deviation is not None else ""
    facts = f"mean {percent(compared.mean)}{spread}, best {percent(max(compared.others))}"
    facts = facts if n > 1 else percent(compared.mean)
    as_good = sum(other >= compared.found for other in compared.others)
    ranking = f" {as_good if as_good else 'None'} of the {n} did as well or better." if n > 1 else ""
    if compared.margin > 0:
        chance = compared.deviation is not None and compared.margin < compared.deviation
        doubt = " The margin is less than one standard deviation, so it may be chance." if chance else ""
        return Sentence("good", f"Beats {group} by {points(compared.margin)} points ({facts}).{ranking}{doubt}")
    how = f"is {points(compared.margin)} points below" if compared.margin < 0 else "only equals"
    return Sentence("bad", f"Does not beat random architectures: it {how} {group} ({facts}).{ranking}")


def _exported(run: RunFiles) -> list[Sentence]:
    export = section(run.results, "export")
    images, same = number(export.get("images")), number(export.get("same_predictions"))
    if images is None or same is None:
        return []
    difference = number(export.get("onnx_max_difference"))
    largest = f"; the largest difference of an output is {difference:.1e}" if difference is not None else ""
    text = f"The ONNX file predicts the same as the network on {count(same)} of {count(images)} images{largest}."
    return [Sentence("good" if same == images else "bad", text)]
