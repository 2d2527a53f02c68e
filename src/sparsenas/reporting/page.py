"""The page: its sections in order, and how they become one file."""

from __future__ import annotations

import json

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from sparsenas.reporting import charts, codes, dataset, pruning, ranked, tables
from sparsenas.reporting.blocks import blocks
from sparsenas.reporting.cells import cells
from sparsenas.reporting.drawing import drawing
from sparsenas.reporting.look import DRAW, POLICY, STYLE
from sparsenas.reporting.markup import Html, code, element, folded, glue, missing, safe
from sparsenas.reporting.numbers import count, number, percent, points, seconds, several, short
from sparsenas.reporting.read import RunFiles, name_of, objects, section
from sparsenas.reporting.usage import usage
from sparsenas.reporting.verdict import comparison, headline, verdict


def page(run: RunFiles) -> str:
    """The whole report as one HTML document that loads nothing from anywhere."""
    name = run.folder.resolve().name
    sections = {
        "Result": result(run),
        "Architecture": architecture(run),
        "Costs": costs(run),
        "Accuracy": accuracy(run),
        **({"Data": data_section(run)} if run.data else {}),
        "Search": search(run),
        **({"Ranking": ranking(run)} if run.rank else {}),
        "Training": training(run),
        "What it took": effort(run),
        "Use the network": usage(run),
        "Settings": settings(run),
    }
    links = [element("a", {"href": f"#{_anchor(title)}"}, title) for title in list(sections)[1:]]
    method, space, data = (name_of(run.config.get(key)) for key in ("method", "space", "data"))
    top = element("p", {}, f"{name}: {method} on space {space}, data {data}")
    header = element("header", {}, top, element("h1", {}, headline(run)))
    cards = [_card(title, content, shown=title != "Result") for title, content in sections.items()]
    cards.insert(1, element("nav", {}, *links))
    main = element("main", {}, header, *cards, element("footer", {}, "One file; it loads nothing from the network."))
    return _document(f"{name} \u00b7 sparsenas report", main)


def _document(title: str, main: Html) -> str:
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{safe(title)}</title><style>{STYLE}</style></head>\n<body>\n{main}\n"
        "<noscript><main><p>The charts need JavaScript; tables and drawings do not.</p></main></noscript>\n"
        f"<script>{get_plotlyjs()}</script>\n<script>{DRAW}</script>\n</body></html>\n"
    )


def _card(title: str, content: Html, shown: bool) -> Html:
    heading = [element("h2", {}, title)] if shown else []
    return element("section", {"id": _anchor(title)}, *heading, content)


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def result(run: RunFiles) -> Html:
    """The numbers to remember and the findings in sentences."""
    findings = [element("li", {"class": sentence.mark}, sentence.text) for sentence in verdict(run)]
    tiles = _tiles(run)
    row = [element("div", {"class": "tiles"}, *tiles)] if tiles else []
    return glue([*row, element("ul", {"class": "findings"}, *findings)])


def _tiles(run: RunFiles) -> list[Html]:
    tiles = []
    retrained, inherited = run.accuracy("retrained"), run.accuracy("inherited")
    tested = retrained if retrained is not None else inherited
    if tested is not None:
        weights = run.how_trained if retrained is not None else "inherited weights"
        tiles.append(_tile(percent(tested), f"test accuracy, {weights}", ""))
    for limit in run.limits[:2]:
        if (value := run.costs.get(limit.cost)) is not None:
            relation = "\u2264" if limit.upper else "\u2265"
            told = f"{limit.cost}, budget {relation} {short(limit.bound)}"
            tiles.append(_tile(short(value), told, "good" if limit.keeps(value) else "bad"))
    if (compared := comparison(run)) is not None:
        sign, mark = ("+", "good") if compared.margin > 0 else ("\u2212", "bad")
        told = f"points against the mean of {len(compared.others)} random architectures"
        tiles.append(_tile(sign + points(compared.margin), told, mark))
    times = [time for line in run.done() if (time := number(line.get("seconds"))) is not None]
    if times:
        tiles.append(_tile(seconds(sum(times)), "time of all finished stages", ""))
    return tiles


def _tile(value: str, told: str, mark: str) -> Html:
    return element("div", {"class": f"tile {mark}".strip()}, element("b", {}, value), element("span", {}, told))


def architecture(run: RunFiles) -> Html:
    """The drawing, and the answer in text."""
    if not run.questions:
        return missing("The choices of the space have not been written yet.")
    state = "filled options are kept" if run.best else "nothing is decided yet"
    size = number(run.space.get("size"))
    span = several(len(run.questions), "choice") + (f", {count(size)} architectures" if size else "")
    parts = [element("p", {"class": "dim"}, f"{span}. Every choice shows all its options; {state}."), drawing(run)]
    if (drawn := cells(run) or blocks(run)) is not None:
        parts.insert(0, drawn)
    if run.best:
        answer = json.dumps(section(run.best, "arch"), indent=2, ensure_ascii=False)
        parts.append(folded("As text", code(run.text), code(answer)))
    return glue(parts)


def costs(run: RunFiles) -> Html:
    """What the found network costs."""
    return tables.costs(run) if run.costs else missing("There is no found network to count yet.")


def accuracy(run: RunFiles) -> Html:
    """Test accuracies next to those of random architectures."""
    figure = charts.accuracies(run)
    if figure is None:
        return missing("Nothing has been evaluated yet.")
    parts = [
        element(
            "div",
            {"class": "pair"},
            _chart(figure, "Accuracy of the found network and of random architectures"),
            tables.accuracies(run),
        )
    ]
    if number(section(run.results, "retrained").get("accuracy")) is None:
        parts.append(missing("The found network has not been retrained yet."))
    if run.baselines or run.compared:
        parts.append(folded("Every architecture trained to compare with", tables.baselines(run)))
    if not run.baselines:
        parts.append(missing("No random architectures have been trained for comparison yet."))
    matrix, mistakes = charts.confusion(run), tables.confusions(run)
    if matrix is not None or mistakes is not None:
        shown = [_chart(matrix, "Confusion matrix")] if matrix is not None else []
        parts.append(element("h3", {}, "Which class is taken for which"))
        parts.append(element("div", {"class": "pair"}, *shown, *([mistakes] if mistakes is not None else [])))
    return glue(parts)


def data_section(run: RunFiles) -> Html:
    """What the images are."""
    figure = dataset.balance(run)
    shown = [_chart(figure, "Images of each class")] if figure is not None else []
    return glue([dataset.numbers_of(run), dataset.pictures(run), *shown])


def search(run: RunFiles) -> Html:
    """Every candidate that was scored, and how the best improved."""
    traded = [str(run.front["cost"])] if "cost" in run.front else []
    drawn = list(dict.fromkeys(traded + ([limit.cost for limit in run.limits] or ["flops"] * (not traded))))[:3]
    found = [(cost, figure) for cost in drawn if (figure := charts.search_history(run, cost)) is not None]
    shown = [_chart(figure, f"Score against {cost} of every candidate") for cost, figure in found]
    if (progress := charts.search_progress(run)) is not None:
        shown.append(_chart(progress, "Best score against the number of candidates scored"))
    if not shown and (lines := codes.recoveries(run)):
        figures = (codes.supports(lines), "Supports by epoch"), (codes.fits(lines), "Recovery by epoch")
        words = element("p", {"class": "dim"}, codes.words(lines))
        return glue([words, element("div", {"class": "pair"}, *(_chart(figure, name) for figure, name in figures))])
    if not shown and (lines := pruning.prunings(run)):
        figures = (pruning.survivors(lines), "What is left by epoch"), (pruning.costs(run, lines), "Cost by epoch")
        words = element("p", {"class": "dim"}, pruning.words(lines))
        return glue([words, element("div", {"class": "pair"}, *(_chart(figure, name) for figure, name in figures))])
    if not shown:
        return missing("No candidates have been scored one by one (a method that learns its answer scores none).")
    told = f"{several(len(run.candidates), 'candidate')} scored on held-out images with inherited weights."
    parts = [element("p", {"class": "dim"}, told + _against_random(run)), element("div", {"class": "pair"}, *shown)]
    return glue([*parts, *_front(run)])


def _against_random(run: RunFiles) -> str:
    ours, random = charts.best_so_far(run.candidates), charts.best_so_far(run.random)
    n = min(len(ours), len(random))
    if not n:
        return ""
    best = f"{percent(ours[n - 1])}, of random search {percent(random[n - 1])}"
    return f" After {several(n, 'evaluation')} each the best score is {best}."


def _front(run: RunFiles) -> list[Html]:
    points = objects(run.front.get("points"))
    if not points:
        return []
    told = f"The front of accuracy against {run.front.get('cost')}: {several(len(points), 'architecture')}"
    area, reference = number(run.front.get("hypervolume")), run.front.get("reference")
    whole = [number(end) for end in reference] if isinstance(reference, list) else []
    if area is not None and len(whole) == 2 and whole[0] and whole[1]:
        told += f"; its hypervolume is {percent(area / (whole[0] * whole[1]))} of what is possible at all"
    return [element("p", {}, f"{told}."), folded("Every architecture of the front", tables.front(run))]


def ranking(run: RunFiles) -> Html:
    """How well the supernet's scores rank architectures of known accuracy."""
    figure = ranked.scatter(run)
    shown = [_chart(figure, "Score on inherited weights against true accuracy")] if figure is not None else []
    return glue([ranked.words(run), *shown, ranked.agreements(run)])


def training(run: RunFiles) -> Html:
    """Loss and accuracy of every training."""
    found = [
        (name, figure) for name in ("loss", "accuracy") if (figure := charts.training_curves(run, name)) is not None
    ]
    if not found:
        return missing("Nothing has been trained yet.")
    return element("div", {"class": "pair"}, *(_chart(figure, f"Training {name} by epoch") for name, figure in found))


def effort(run: RunFiles) -> Html:
    """Time and memory by stage, and what was noted on the way."""
    messages = [f"{line.get('stage')}: {line.get('message')}" for line in run.log if line.get("event") == "note"]
    noted = [element("li", {}, text) for text in [*messages, *run.notes]]
    listed = [element("h3", {}, "Notes"), element("ul", {}, *noted)] if noted else []
    if not run.done() and not run.training():
        return glue([missing("No stage has been run yet."), *listed])
    return glue([tables.stages(run), *listed])


def settings(run: RunFiles) -> Html:
    """Flags, versions, seed and machine."""
    return element("div", {"class": "pair"}, tables.flags(run), tables.machine(run))


def _chart(figure: go.Figure, told: str) -> Html:
    height = f"min-height:{figure.layout.height}px"
    box = element("div", {"class": "chart", "role": "img", "aria-label": told, "style": height})
    data = Html(figure.to_json(engine="json").replace("<", "\\u003c"))
    return element("figure", {}, box, element("script", {"type": "application/json"}, data))
