"""The page: templates filled with a run's records."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from sparsenas.data.image_code import image_code
from sparsenas.reporting import (
    arch_svg,
    charts,
    comparing,
    differences,
    findings,
    numbers,
    option_names,
    original,
    ranking,
    scatter,
    seeds,
    side_by_side,
    tables,
    truth,
)
from sparsenas.reporting.loading import LoadedRun

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def html(run: LoadedRun) -> str:
    """The whole report as one HTML document that loads nothing from anywhere."""
    return _document("page.html.j2", run=run)


def compared(runs: Sequence[LoadedRun]) -> str:
    """Several runs side by side, as such a document."""
    return _document("compare.html.j2", runs=seeds.named(runs))


def _document(name: str, **shown: Any) -> str:
    from plotly.offline import get_plotlyjs  # here, since most commands draw nothing

    scripts = [get_plotlyjs(), _asset("charts.js")]
    return template(name).render(
        **shown,
        style=Markup(_asset("report.css")),
        scripts=[Markup(script) for script in scripts],
        script_hashes=[_hash(script) for script in scripts],
    )


def template(name: str) -> jinja2.Template:
    """A template, with the modules of the report and filters for values; in HTML every value is escaped."""
    return _environment().get_template(name)


@cache
def _environment() -> jinja2.Environment:
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("sparsenas.reporting"),
        autoescape=lambda name: name is None or ".html." in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = (numbers.count, numbers.percent, numbers.seconds, numbers.mebibytes, numbers.decimals, numbers.cut)
    modules = [charts, comparing, differences, findings, option_names, original, ranking]
    modules += [scatter, seeds, side_by_side, tables, truth]
    env.filters |= {show.__name__: show for show in (*shown, numbers.shape)}
    env.filters |= {"python": repr, "plain": _plain, "code": _code, "zip": zip}
    env.tests["base64"] = lambda text: _BASE64.fullmatch(text) is not None
    env.globals |= {module.__name__.rpartition(".")[2]: module for module in modules}
    env.globals |= {"image_code": image_code, "several": numbers.several, "svg": arch_svg}
    return env


def _plain(value: object, indent: int | None = None) -> str:
    """A value as JSON, to be read by people."""
    return json.dumps(value, default=str, ensure_ascii=False, indent=indent)


def _code(value: object) -> str:
    """A text as code in Markdown: nothing in it is read as Markdown, not in a table either."""
    text = " ".join(str(value).replace("`", "'").split()).replace("|", "\\|")
    return f"`{text}`" if text else ""


def _asset(name: str) -> str:
    return (files("sparsenas.reporting") / "assets" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """By this the browser knows the scripts that it may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
