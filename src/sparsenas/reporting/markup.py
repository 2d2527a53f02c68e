"""HTML that cannot be forged: whatever is not already ``Html`` is escaped when it is put into an element."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape


class Html(str):
    """Text that is HTML already and goes into a page as it is."""

    __slots__ = ()


def safe(text: str) -> Html:
    """``text`` as HTML: escaped unless it is ``Html``."""
    return text if isinstance(text, Html) else Html(escape(text, quote=True))


def element(name: str, attributes: Mapping[str, str], *children: str) -> Html:
    """One element with its children; attributes and plain text are escaped."""
    listed = "".join(f' {key}="{escape(value, quote=True)}"' for key, value in attributes.items())
    return Html(f"<{name}{listed}>{''.join(map(safe, children))}</{name}>")


def glue(parts: Iterable[str]) -> Html:
    """Parts one after another, a line each."""
    return Html("\n".join(map(safe, parts)))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> Html:
    """A table whose first ``words`` columns are text and whose other columns are right-aligned numbers."""

    def cells(tag: str, row: Sequence[str]) -> Html:
        kinds = ["word" if i < words else "number" for i in range(len(row))]
        return element("tr", {}, *(element(tag, {"class": kind}, cell) for kind, cell in zip(kinds, row, strict=True)))

    body = element("tbody", {}, *(cells("td", row) for row in rows))
    return element("div", {"class": "scroll"}, element("table", {}, element("thead", {}, cells("th", head)), body))


def folded(title: str, *children: str) -> Html:
    """Content that opens on a click."""
    return element("details", {}, element("summary", {}, title), *children)


def code(text: str) -> Html:
    """A block of code."""
    return element("pre", {}, element("code", {}, text))


def missing(text: str) -> Html:
    """A sentence that says what has not been done yet."""
    return element("p", {"class": "missing"}, text)
