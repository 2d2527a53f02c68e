"""The 8-bit export: net.int8.onnx, tested and timed beside net.onnx."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sparsenas.core.quant_choice import alphas
from sparsenas.costs.latency import Settings, Timing
from sparsenas.errors import UserError
from sparsenas.exporting import onnx_feeds, onnx_network
from sparsenas.job.task import Task
from sparsenas.nn.onnx_int8 import has_integers, input_names, int8_model
from sparsenas.nn.tree import Tree, count, map_tensors
from sparsenas.objectives.words import score_told
from sparsenas.rundir.files import write_atomic
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.networks import INT8, ONNX
from sparsenas.rundir.results import Int8Result, OnnxFile, update_results
from sparsenas.searching.config import Scoring
from sparsenas.timing import Model, OnnxEngine, Timer, device_name
from sparsenas.training.evaluation import evaluate_function

WARMUP, REPEATS = 10, 50
FILES = ONNX, INT8


def check_int8(task: Task, scoring: Scoring) -> None:
    """Raises ``UserError`` where no 8-bit file can be made, which is better told before any training."""
    if alphas(task.network("supernet", task.target)):
        raise UserError(f"--int8: expected a space without bit widths of its own, got {task.space.name}")
    if scoring.calibration < 1:
        raise UserError("--int8: expected training examples to calibrate on, got --score.calibration 0")


def int8_stage(run: Run, task: Task, scoring: Scoring) -> Int8Result:
    """Makes net.int8.onnx from net.onnx, tests and times both. Raises ``UserError``; no file is left then.

    The ranges of the activations are those on ``--score.calibration`` training examples.
    """
    check_int8(task, scoring)
    logger = RunLogger(run)
    (run / INT8).unlink(missing_ok=True)
    update_results(run, int8=None)
    with logger.stage("int8"):
        batches = _calibration(task, scoring)
        content = run.need(ONNX, "export").read_bytes()
        made = _quantized(run, content, batches)
        write_atomic(run / INT8, lambda file: file.write(made))
        try:
            result = _measured(run, task, batches)
        except UserError:
            (run / INT8).unlink()
            raise
    update_results(run, int8=result)
    int8, float32 = (_told(task, file) for file in (result.int8, result.float32))
    logger.say(f"int8: {int8}; float32: {float32}; on test examples in ONNX Runtime; {result.verdict}")
    return result


def _told(task: Task, file: OnnxFile) -> str:
    """The score, size and time of a file."""
    return f"{score_told(task.objective, file.metrics)}, {file.bytes:,} bytes, {file.median_ms:.3g} ms"


def _calibration(task: Task, scoring: Scoring) -> Sequence[Tree]:
    """The training examples on which searches recalibrate batch norm."""
    return [map_tensors(lambda leaf: leaf.cpu(), batch) for batch in task.eval_batches(scoring).calibration]


def _quantized(run: Run, content: bytes, batches: Sequence[Tree]) -> bytes:
    names = input_names(content)
    try:
        made = int8_model(content, (onnx_feeds(names, batch) for batch in batches))
    except UserError as error:
        raise UserError(f"{run.path}: {error}") from error
    if not has_integers(made):
        raise UserError(f"{run.path}: ONNX Runtime finds no layer of the network that it can quantize")
    return made


def _measured(run: Run, task: Task, batches: Sequence[Tree]) -> Int8Result:
    settings = _settings(task)
    example = map_tensors(lambda leaf: torch.cat([leaf[:1]] * settings.batch), batches[0])
    timings = _timed(run, settings, example)
    files = []
    for name, timing in zip(FILES, timings, strict=True):
        metrics = evaluate_function(onnx_network(run, name), task.data, task.data.test, task.objective).metrics
        files.append(OnnxFile(bytes=(run / name).stat().st_size, metrics=metrics, **timing._asdict()))
    return Int8Result(
        float32=files[0],
        int8=files[1],
        calibration=sum(map(count, batches)),
        device=device_name("cpu"),
        batch=settings.batch,
        threads=settings.threads,
    )


def _settings(task: Task) -> Settings:
    """Batch size and threads of the run's latency table, if it has one; else one example, PyTorch's threads."""
    own = task.latency.settings if task.latency else Settings(threads=torch.get_num_threads())
    return Settings("onnxruntime", "cpu", own.batch, own.threads, WARMUP, REPEATS)


def _timed(run: Run, settings: Settings, example: Tree) -> list[Timing]:
    """The times of both files, which run in turn."""
    engine = OnnxEngine(settings)
    works = [engine.work(Model((run / name).read_bytes(), example)) for name in FILES]
    return Timer.of(settings)(works)
