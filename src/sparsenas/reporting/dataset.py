"""The data section: how many images there are of what, and what they look like."""

from __future__ import annotations

import re
from collections.abc import Sequence

import plotly.graph_objects as go

from sparsenas.reporting.canvas import BLUE, GREEN, OTHER, canvas, cut, plain
from sparsenas.reporting.markup import Html, element, glue, table
from sparsenas.reporting.numbers import count, number, several
from sparsenas.reporting.read import RunFiles, objects, section

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_COLOURS = {"train": BLUE, "val": GREEN, "test": OTHER}
_MOST_BARS = 200


def numbers_of(run: RunFiles) -> Html:
    """Images of each part, and of its rarest and commonest class."""
    classes, shape = class_names(run), [count(number(side)) for side in run.data.get("shape", [])]
    rows = []
    for part, counts in parts(run).items():
        few, many = (classes[counts.index(pick(counts))] if counts else "" for pick in (min, max))
        ends = [f"{few}: {count(min(counts, default=0))}", f"{many}: {count(max(counts, default=0))}"]
        rows.append([part.replace("_", "-"), count(sum(counts)), *ends])
    told = f"{several(len(classes), 'class')}, images of {' x '.join(shape)} (channels, height, width)."
    head = ["part", "images", "rarest class", "commonest class"]
    return glue([element("p", {"class": "dim"}, told), table(head, rows)])


def pictures(run: RunFiles) -> Html:
    """One training image of each class."""
    classes, shown = class_names(run), []
    for sample in objects(run.data.get("samples")):
        label, png = number(sample.get("label")), str(sample.get("png", ""))
        if label is not None and 0 <= label < len(classes) and _BASE64.fullmatch(png):
            name = classes[int(label)]
            image = element("img", {"src": f"data:image/png;base64,{png}", "alt": name})
            shown.append(element("figure", {}, image, element("figcaption", {}, cut(name, 24))))
    return element("div", {"class": "samples"}, *shown)


def balance(run: RunFiles) -> go.Figure | None:
    """Images of each class, by part."""
    classes = class_names(run)
    if not 1 < len(classes) <= _MOST_BARS:
        return None
    figure = canvas("", "images", height=260)
    for part, counts in parts(run).items():
        names = [plain(cut(name, 24)) for name in classes]
        hover = "%{x}: %{y:,}<extra>" + plain(part) + "</extra>"
        figure.add_bar(x=list(range(len(names))), y=counts, name=plain(part), hovertemplate=hover)
        figure.data[-1].marker.color = _COLOURS.get(part, OTHER)
    figure.update_layout(barmode="stack")
    if len(classes) <= 30:
        figure.update_xaxes(tickvals=list(range(len(names))), ticktext=names)
    return figure


def class_names(run: RunFiles) -> list[str]:
    """The classes in the order of their labels."""
    named = run.data.get("classes")
    return [str(name) for name in named] if isinstance(named, list) else []


def parts(run: RunFiles) -> dict[str, list[int]]:
    """How many images each part has of each class, where that is known for all classes."""
    found, classes = section(run.data, "parts"), class_names(run)
    return {str(name): counts for name, row in found.items() if len(counts := _whole(row)) == len(classes)}


def _whole(row: object) -> list[int]:
    listed: Sequence[object] = row if isinstance(row, list) else []
    return [int(value) for entry in listed if (value := number(entry)) is not None]
