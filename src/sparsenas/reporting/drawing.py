"""The found architecture as a chain of small drawings, one a choice, that wraps like words on a page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sparsenas.reporting.markup import Html, element, glue
from sparsenas.reporting.read import Question, RunFiles

_LETTER = 6.7
"""Width of a letter of an option's label."""
_PORT = 16
"""Room left and right of the options for the line that runs through the chain."""
_TITLE = 26
_GAP = 4
_ONE_COLUMN = 10
"""With more options than this a choice is drawn in several columns."""


def drawing(run: RunFiles) -> Html:
    """All choices in the network's order; the kept options are filled."""
    questions = run.questions
    narrow = [question for question in questions if len(question.options) <= _ONE_COLUMN]
    width = _width([label for question in narrow for label in (*question.options, question.name)], 46, 130)
    shape, classes = run.space.get("shape"), run.space.get("classes")
    ends = (
        " \u00d7 ".join(map(str, shape)) if isinstance(shape, list) else "input",
        f"{len(classes)} classes" if isinstance(classes, list) else "output",
    )
    chain = [
        _end(ends[0], first=True),
        *(_choice(question, width) for question in questions),
        _end(ends[1], first=False),
    ]
    return element("div", {"class": "chain"}, glue(chain))


def _choice(question: Question, width: float) -> Html:
    if len(question.options) > _ONE_COLUMN:
        return _block(question)
    height = 22 if len(question.options) <= 6 else 18
    total = width + 2 * _PORT
    tall = _TITLE + len(question.options) * (height + _GAP) + _GAP
    lines: list[Html] = []
    pills: list[Html] = []
    for i, option in enumerate(question.options):
        top = _TITLE + i * (height + _GAP)
        kept = question.kept is not None and option in question.kept
        pills.append(_pill(option, kept, (_PORT, top, width, height)))
        if kept:
            lines += _through(total, tall / 2, top + height / 2)
    if not lines:
        lines = [_line(f"M0 {tall / 2}H{total}", dashed=True)]
    return _svg(question, total, tall, [*lines, *pills])


def _block(question: Question) -> Html:
    """A choice of many options: columns in a frame, the line runs into and out of the frame."""
    columns = 2 if len(question.options) <= 2 * _ONE_COLUMN else 3
    width, height = _width(question.options, 46, 108), 18
    rows = math.ceil(len(question.options) / columns)
    inner = columns * (width + _GAP) + _GAP
    total, tall = inner + 2 * _PORT, _TITLE + rows * (height + _GAP) + 2 * _GAP
    box = {"x": _PORT, "y": _TITLE - _GAP, "width": inner, "height": rows * (height + _GAP) + _GAP, "rx": 6}
    frame = element("rect", {"class": "frame", **{key: f"{value:g}" for key, value in box.items()}})
    pills = []
    for i, option in enumerate(question.options):
        x = _PORT + _GAP + i // rows * (width + _GAP)
        y = _TITLE + i % rows * (height + _GAP)
        pills.append(_pill(option, question.kept is not None and option in question.kept, (x, y, width, height)))
    line = _line(f"M0 {tall / 2:g}H{total:g}", dashed=not question.kept)
    return _svg(question, total, tall, [line, frame, *pills])


def _svg(question: Question, width: float, height: float, children: Sequence[Html]) -> Html:
    if question.kept is None:
        answer = "undecided"
    else:
        answer = ", ".join(option for option in question.options if option in question.kept) or "nothing"
    told = f"{question.name}: {answer} of {', '.join(question.options)}"
    room = int((width - 4) / _LETTER)
    at = {"class": "name", "x": f"{width / 2:g}", "y": "15"}
    name = element("text", at, _cut(question.name, room), element("title", {}, question.name))
    return element("svg", {**_size(width, height), "role": "img", "aria-label": told}, name, *children)


def _end(label: str, first: bool) -> Html:
    """The input or the output of the network."""
    width = _width([label], 60, 150)
    total = width + _PORT
    x = 0 if first else _PORT
    line = _line(f"M{width} 30H{total}" if first else f"M0 30H{_PORT}", dashed=False)
    rect = {"class": "end", "x": f"{x}", "y": "17", "width": f"{width:g}", "height": "26", "rx": "13"}
    text = element("text", {"class": "end", "x": f"{x + width / 2:g}", "y": "34"}, _cut(label, int(width / _LETTER)))
    attributes = {**_size(total, 60), "role": "img", "aria-label": label}
    return element("svg", attributes, line, element("rect", rect), text)


def _pill(label: str, kept: bool, box: tuple[float, float, float, float]) -> Html:
    x, y, width, height = box
    kind = "kept" if kept else "left"
    rect = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{width:g}", "height": f"{height:g}", "rx": f"{height / 2:g}"}
    at = {"x": f"{x + width / 2:g}", "y": f"{y + height / 2 + 4:g}"}
    text = element("text", at, _cut(label, int((width - 10) / _LETTER)))
    return element("g", {"class": kind}, element("title", {}, label), element("rect", rect), text)


def _through(width: float, middle: float, y: float) -> list[Html]:
    """The line from the left port to an option and from there to the right port."""
    bend, right = _PORT / 2, width - _PORT
    return [
        _line(f"M0 {middle:g}C{bend:g} {middle:g} {bend:g} {y:g} {_PORT} {y:g}", dashed=False),
        _line(
            f"M{right:g} {y:g}C{right + bend:g} {y:g} {right + bend:g} {middle:g} {width:g} {middle:g}", dashed=False
        ),
    ]


def _line(path: str, dashed: bool) -> Html:
    return element("path", {"class": "open" if dashed else "line", "d": path})


def _size(width: float, height: float) -> dict[str, str]:
    return {"width": f"{width:g}", "height": f"{height:g}", "viewBox": f"0 0 {width:g} {height:g}"}


def _width(labels: Sequence[str], least: float, most: float) -> float:
    longest = max((len(label) for label in labels), default=0)
    return min(max(round(longest * _LETTER) + 18, least), most)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "\u2026"
