"""How to load the found network, with and without this library."""

from __future__ import annotations

from sparsenas.reporting.markup import Html, code, element, glue, missing
from sparsenas.reporting.read import RunFiles

_TORCH = """import torch

net = torch.export.load({pt2!r}).module()
scores = net(torch.zeros({shape}))  # images in, one score a class out
print(scores.argmax(dim=1))"""

_ONNX = """import numpy, onnxruntime

session = onnxruntime.InferenceSession({onnx!r})
images = numpy.zeros(({shape}), dtype=numpy.float32)
(scores,) = session.run(None, {{session.get_inputs()[0].name: images}})
print(scores.argmax(axis=1))"""

_OURS = """import sparsenas

net = sparsenas.load({folder!r})  # an ordinary torch.nn.Module, to train on or take apart"""


def usage(run: RunFiles) -> Html:
    """Three ways to load the network, and the order of the classes."""
    folder = run.folder.resolve()
    pt2, onnx = folder / "net.pt2", folder / "net.onnx"
    shape = run.space.get("shape")
    batch = ", ".join(map(str, [1, *shape])) if isinstance(shape, list) else "1, 3, 32, 32"
    exported = pt2.exists() or onnx.exists()
    parts = [] if exported else [missing("The network has not been exported yet; net.pt2 and net.onnx do not exist.")]
    parts += [
        element("h3", {}, "With torch alone; sparsenas need not be installed"),
        code(_TORCH.format(pt2=str(pt2), shape=batch)),
        element("h3", {}, "With ONNX Runtime"),
        code(_ONNX.format(onnx=str(onnx), shape=batch)),
        element("h3", {}, "With sparsenas"),
        code(_OURS.format(folder=str(folder))),
    ]
    classes = run.space.get("classes")
    if isinstance(classes, list) and len(classes) <= 100:
        parts.append(
            element("p", {"class": "dim"}, f"Scores are in the order of the classes: {', '.join(map(str, classes))}.")
        )
    return glue(parts)
