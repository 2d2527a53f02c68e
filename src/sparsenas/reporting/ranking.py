"""How well the supernet's scores rank architectures of known accuracy."""

from __future__ import annotations

from sparsenas.reporting.canvas import Chart, chart, share_axis, thinned, trace, values
from sparsenas.reporting.colours import BLUE, STAR
from sparsenas.reporting.loading import LoadedRun
from sparsenas.reporting.numbers import count
from sparsenas.rundir.ranking import Measure

_MARKER = {"size": 6, "color": BLUE, "opacity": 0.55}


def main_measure(run: LoadedRun, by: str = "") -> Measure | None:
    """Such a score with the calibration of the run's own search if it was ranked, else the last one."""
    name, every = by or run.score.info.name, first_column(run)
    known = [measure for measure in every if measure.by == name]
    own = run.section("score").get("calibration")
    return next((measure for measure in known if measure.calibration == own), known[-1] if known else None)


def first_column(run: LoadedRun) -> list[Measure]:
    """The measures by the table's first column."""
    every = run.ranking.measures if run.ranking else []
    return [measure for measure in every if measure.column == every[0].column]


def deciding_measure(run: LoadedRun) -> Measure | None:
    """The metric by which the run's search compares candidates if it was ranked, else the score."""
    score = run.section("score")
    by = str(score.get("by") or run.score.info.name)
    by = f"{by}, shrunk" if score.get("shrink") else by
    return main_measure(run, by) or main_measure(run)


def scatter(run: LoadedRun) -> Chart | None:
    """Score against true accuracy of every ranked architecture."""
    measure = main_measure(run)
    if not (known := _points(run, measure) if measure else []):
        return None
    found = [point for point in known if run.best and point[0] == run.best.text]
    traces = []
    for name, some, look in (("architectures", known[:: thinned(len(known))], _MARKER), ("found", found, STAR)):
        scores, truths = [score for _, score, _ in some], [truth for _, _, truth in some]
        hover = f"%{{text}}<br>score %{{x:{run.score.hover}}}<br>true accuracy %{{y:.2%}}"
        traces.append(trace(scores, truths, hover, name, "markers", marker=look, text=[text for text, _, _ in some]))
    x_axis = run.score.axis(f"{run.score.name} with inherited weights", values(traces, "x"))
    return chart(traces, x_axis, share_axis("true accuracy", values(traces)), height=420)


def _points(run: LoadedRun, measure: Measure) -> list[tuple[str, float, float]]:
    """The text, the score and the true accuracy of every architecture that was ranked in the measure's setting."""
    truth = run.ranking.truth if run.ranking else {}
    setting = measure.calibration, measure.val
    scored = {line.text: run.score.of(line.metrics) for line in run.ranked if (line.calibration, line.val) == setting}
    return [(text, score, truth[text]) for text, score in scored.items() if text in truth]


def words(run: LoadedRun) -> list[str]:
    """Whether the supernet ranks better than the number of multiply-adds."""
    if run.ranking is None:
        return []
    flops = next((m.distinct.tau for m in first_column(run) if m.by == "flops"), None)
    deciding = deciding_measure(run)
    told = f"The accuracy of {count(run.ranking.rows)} architectures is known from {run.ranking.table}."
    if deciding and deciding.distinct.tau is not None and flops is not None:
        ours = deciding.distinct.tau
        better = "better" if ours > flops else "no better"
        told += f" The supernet ranks them {better} than the number of multiply-adds does: tau {ours:.3f} "
        told += f"by {deciding.by} against {flops:.3f} over distinct networks."
    return [told]
