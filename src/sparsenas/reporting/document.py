"""The page: templates filled with a run's records."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup

from sparsenas.reporting import arch_svg, charts, findings, numbers, original, ranking, tables, truth
from sparsenas.reporting.loading import LoadedRun

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def html(run: LoadedRun) -> str:
    """The whole report as one HTML document that loads nothing from anywhere."""
    from plotly.offline import get_plotlyjs  # here, since most commands draw nothing

    scripts = [get_plotlyjs(), _asset("charts.js")]
    return _page().render(
        run=run,
        style=Markup(_asset("report.css")),
        scripts=[Markup(script) for script in scripts],
        script_hashes=[_hash(script) for script in scripts],
    )


@cache
def _page() -> jinja2.Template:
    """The template of the page, with the modules of the report and filters for values; every value is escaped."""
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("sparsenas.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = (
        numbers.count,
        numbers.percent,
        numbers.seconds,
        numbers.mebibytes,
        numbers.decimals,
        numbers.cut,
        numbers.shape,
    )
    env.filters |= {show.__name__: show for show in shown}
    env.filters |= {"python": repr, "plain": _plain}
    env.tests["base64"] = lambda text: _BASE64.fullmatch(text) is not None
    env.globals |= {"several": numbers.several, "findings": findings, "svg": arch_svg}
    env.globals |= {"charts": charts, "original": original, "ranking": ranking, "tables": tables, "truth": truth}
    return env.get_template("page.html.j2")


def _plain(value: object, indent: int | None = None) -> str:
    """A value as JSON, to be read by people."""
    return json.dumps(value, default=str, ensure_ascii=False, indent=indent)


def _asset(name: str) -> str:
    return (files("sparsenas.reporting") / "assets" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """By this the browser knows the scripts that it may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
