"""What a run found, in plain sentences."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from sparsenas.costs.budget import Budget
from sparsenas.reporting.loading import LoadedRun
from sparsenas.reporting.numbers import count, cut, percent, seconds, several, short
from sparsenas.rundir.log import EpochEnd
from sparsenas.rundir.records import Metrics
from sparsenas.searching.chance import ENOUGH, Comparison, against_random
from sparsenas.searching.precision import imprecise

Mark = Literal["good", "bad", "open"]


class Finding(NamedTuple):
    """One sentence or two, and whether they are good news, bad news or still open."""

    mark: Mark
    text: str


MARKS: dict[bool | None, Mark] = {True: "good", False: "bad", None: "open"}
"""By whether found networks are better than random ones."""


def comparison(run: LoadedRun) -> Comparison | None:
    """The comparison with random architectures, once both sides were trained."""
    others = list(filter(math.isfinite, (run.score.of(baseline.metrics) for baseline in run.results.baselines)))
    return _retrained_against(others, run) if others and run.results.retrained else None


def _retrained_against(others: list[float], run: LoadedRun) -> Comparison:
    found = run.score.of(run.results.retrained.metrics) if run.results.retrained else math.nan
    return against_random(found, others, run.score.info.higher_is_better, run.data.test_examples if run.data else None)


def _score(run: LoadedRun, metrics: Metrics) -> str:
    """The score; with its name, unless that is an accuracy."""
    return f"{run.score.text(metrics)} {run.score.name}"


def limit(budget: Budget) -> tuple[str, float]:
    """The relation and the number of a budget with one bound."""
    return ("\u2264", budget.at_most) if budget.at_most < math.inf else ("\u2265", budget.at_least)


def conclusion(run: LoadedRun) -> Finding:
    """The headline: good only for a network within its budget that is better than random ones by more than chance."""
    if run.best is None:
        return Finding("open", "No architecture has been found yet")
    start, untested = "An architecture was found", "; it has not been tested yet"
    if tested := run.results.retrained or run.results.inherited:
        network = "The found network" if run.results.retrained else "With inherited weights the found network"
        start, untested = f"{network} reaches {_score(run, tested.metrics)} on the {tested.split} set", ""
    if over_budget(run):
        return Finding("bad", f"{start}, over its budget{untested}")
    if harm := _harm(run):
        return Finding("bad", f"{start}, {harm}")
    if any(budget.cost not in run.costs for budget in run.budgets):
        return Finding("open", f"{start}, but its budget is not shown to be met{untested}")
    start += ", within budget" if run.budgets else ""
    compared = comparison(run)
    if compared is None or len(compared.others) < ENOUGH:
        return Finding("open", start + untested)
    joined = {True: " and" if run.budgets else ",", False: ", but", None: ";"}[compared.better]
    told = f"{start}{joined} {_margin(run, compared)} the mean of {len(compared.others)} random architectures"
    return Finding(MARKS[compared.better], told + (", which may be chance" if compared.better is None else ""))


def over_budget(run: LoadedRun) -> bool:
    """Whether the found network breaks a budget."""
    return any(value is not None and not budget.allows(value) for budget, value in run.limited)


def _harm(run: LoadedRun) -> str:
    """What retraining did to a network that it left worse than it was, by more than chance."""
    if (before := run.results.inherited) is None:
        return ""
    compared = _retrained_against([run.score.of(before.metrics)], run)
    harmed = compared.margin < 0 and not compared.few_examples
    return f"worse than the {run.score.text(before.metrics)} with inherited weights" if harmed else ""


def _margin(run: LoadedRun, compared: Comparison) -> str:
    """How much better or worse the found network is, up to the word ``than``."""
    if math.isclose(compared.found, compared.mean):
        return "no better than"
    return f"{run.score.difference(compared.margin)} {'better' if compared.margin > 0 else 'worse'} than"


def tiles(run: LoadedRun) -> list[tuple[str, str, str]]:
    """The numbers to remember, each with what it is and a mark as a finding has it."""
    found = []
    if tested := run.results.retrained or run.results.inherited:
        weights = run.how_trained if run.results.retrained else "inherited weights"
        found.append((run.score.text(tested.metrics), f"{tested.split} {run.score.name}, {weights}", ""))
    for budget, value in run.limited[:2]:
        if value is not None:
            sign, bound = limit(budget)
            told = f"{budget.cost}, budget {sign} {short(bound)}"
            found.append((short(value), told, "good" if budget.allows(value) else "bad"))
    if (compared := comparison(run)) is not None and len(compared.others) >= ENOUGH:
        size, worse = run.score.difference(compared.margin).removesuffix(" points"), compared.margin < 0
        told = f"{'points ' if run.score.share else ''}{'worse' if worse else 'better'} than the mean of "
        told += several(len(compared.others), "random architecture")
        told += ", which may be chance" if compared.better is None else ""
        found.append((size if worse else f"+{size}", told, MARKS[compared.better]))
    if run.done:
        found.append((seconds(sum(line.seconds for line in run.done)), "time of all finished stages", ""))
    return found


def findings(run: LoadedRun) -> list[Finding]:
    """All findings, most important first."""
    if run.best is None:
        return [_searching(run)]
    found = [_found(run, run.best.text)] + [_budget(budget, value) for budget, value in run.limited]
    if not run.budgets:
        given = ", ".join(run.budget_texts)
        found.append(Finding("open", f"The budget cannot be read: {given}." if given else "No budget was set."))
    found += [Finding("bad", run.best.warning)] if run.best.warning else []
    return [*found, *_precision(run), _tested(run), verdict(run), *_exported(run), *_int8(run)]


def _searching(run: LoadedRun) -> Finding:
    last = next((line for line in reversed(run.log) if isinstance(line, EpochEnd)), None)
    if last is None and not run.candidates:
        return Finding("open", "The search has not started.")
    where = f"; last trained: {last.stage}, epoch {last.epoch + 1} of {last.epochs}" if last else ""
    scored = f"; candidates scored: {count(len(run.candidates))}" if run.candidates else ""
    return Finding("open", f"The search has not finished{where}{scored}.")


def _found(run: LoadedRun, text: str) -> Finding:
    among = f" among {several(run.space.size, 'architecture')}" if run.space else ""
    method, space, data = map(run.flag, ("method", "space", "data"))
    return Finding("good", f"{method} found {cut(text, 60) or 'an architecture'}{among} of {space} on {data}.")


def _budget(budget: Budget, value: float | None) -> Finding:
    sign, bound = limit(budget)
    told = f"{budget.cost} {sign} {count(bound)}"
    if value is None:
        return Finding("open", f"Budget {told}: the cost of the found network is not recorded.")
    if value == bound:
        return Finding("good", f"Budget met: {told}, and it is exactly {count(value)}.")
    distance = f"{percent(abs(value - bound) / bound)} " if bound else ""
    side = f"{distance}{'below' if value < bound else 'above'} the limit"
    if budget.allows(value):
        return Finding("good", f"Budget met: {told}, and it is {count(value)}, {side}.")
    return Finding("bad", f"Budget NOT met: {told}, but it is {count(value)}, {side}.")


def _precision(run: LoadedRun) -> list[Finding]:
    """Whether the candidates were compared on few examples."""
    flags, every = run.section("score"), run.data.examples("val") if run.data else 0
    by, val = flags.get("by"), flags.get("val")
    examples = min(val, every) if isinstance(val, int) and val > 0 else every
    told = imprecise(str(by or run.score.info.name), examples, len(run.candidates)) if examples else ""
    return [Finding("open", f"{told}.")] if told else []


def _tested(run: LoadedRun) -> Finding:
    retrained, inherited = run.results.retrained, run.results.inherited
    name = run.score.name.capitalize()
    if retrained:
        after = f"after {run.how_trained.replace('retrained', 'retraining')}"
        how = f"({run.how_trained})" if retrained.one_stage else after
        before = f" (with inherited weights {run.score.text(inherited.metrics)})" if inherited else ""
        text = f"{name} on the {retrained.split} set {how}: {run.score.text(retrained.metrics)}{before}."
        harm = " Retraining made the network worse; a lower learning rate may help." if _harm(run) else ""
        return Finding("bad" if harm else "good", text + harm)
    if inherited:
        text = f"{name} on the {inherited.split} set with inherited weights: {run.score.text(inherited.metrics)}."
        return Finding("open", f"{text} The network has not been retrained yet.")
    val = run.best.val if run.best else None
    scored = f" On validation examples, with inherited weights, it reached {_score(run, val)}." if val else ""
    return Finding("open", f"The found network has not been tested yet.{scored}")


def verdict(run: LoadedRun) -> Finding:
    """How the found network stands among random ones."""
    compared = comparison(run)
    if compared is None:
        reason = "it has not been retrained" if run.results.baselines else "no random architectures were trained"
        return Finding("open", f"Not yet compared with random architectures: {reason}.")
    n, alike = len(compared.others), "of about the same cost" if run.budgets else "of about the same size"
    if n < ENOUGH:
        told = " and ".join(run.score.number(other) for other in compared.others)
        verb = "has" if n == 1 else "have"
        return Finding("open", f"{several(n, 'random architecture')} {alike} {verb} {told}: too few to compare with.")
    group, facts = f"the mean of {n} random architectures {alike}", f"mean {run.score.number(compared.mean)}"
    if compared.deviation is not None:
        facts += f", standard deviation {run.score.difference(compared.deviation)}"
    facts += f", best {run.score.number(run.score.best(compared.others))}"
    as_good = sum(run.score.gain(other, compared.found) >= 0 for other in compared.others)
    rest = f"({facts}). {as_good or 'None'} of the {n} did as well or better."
    if compared.better:
        return Finding("good", f"Beats {group} by {run.score.difference(compared.margin)} {rest}")
    told = f"it is {_margin(run, compared)} {group} {rest}"
    if compared.better is False:
        return Finding("bad", f"Does not beat random architectures: {told}")
    within = "one standard deviation" if abs(compared.margin) <= (compared.deviation or 0.0) else "two standard errors"
    doubt = f"The difference is less than {within}, so it may be chance."
    if compared.few_examples:
        doubt = f"With {several(compared.examples or 0, 'test example')}, a score is known to about "
        doubt += f"{run.score.difference(compared.known_to)}, so the difference may be chance."
    return Finding("open", f"Cannot be told from random architectures: {told} {doubt}")


def _exported(run: LoadedRun) -> list[Finding]:
    export = run.results.export
    if export is None:
        return []
    same = f"{count(export.same_predictions)} of {count(export.examples)} examples"
    text = f"The ONNX file predicts the same as the network on {same}; "
    text += f"the largest difference of an output is {export.onnx_max_difference:.1e}."
    return [Finding("good" if export.same_predictions == export.examples else "bad", text)]


def _int8(run: LoadedRun) -> list[Finding]:
    int8 = run.results.int8
    if int8 is None:
        return []
    now, before = run.score.text(int8.int8.metrics), run.score.text(int8.float32.metrics)
    text = f"With 8 bits the {run.score.name} is {now}, with 32-bit floats {before}; {int8.verdict}."
    return [Finding("good" if int8.speedup else "bad", text)]
