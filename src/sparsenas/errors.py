"""The one error that a user's mistake raises."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

EXTRAS = {
    "images": ("pyarrow", "datasets"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "pareto": ("pymoo", "moocore"),
    "timm": ("timm",),
    "torchvision": ("torchvision",),
    "hf": ("transformers",),
    "hub": ("huggingface_hub",),
    "tensorboard": ("tensorboard",),
    "wandb": ("pytorch_lightning", "wandb"),
    "mlflow": ("pytorch_lightning", "mlflow"),
}
"""The packages that only some of the work needs, by the name with which pip installs them: ``sparsenas[onnx]``."""

PACKAGES = {
    "PIL": "pillow",
    "docstring_parser": "docstring-parser",
    "jinja2": "Jinja2",
    "kornia": "kornia",
    "lightning_fabric": "lightning-fabric",
    "markupsafe": "MarkupSafe",
    "msgspec": "msgspec",
    "numpy": "numpy",
    "plotly": "plotly",
    "rich": "rich",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "safetensors": "safetensors",
    "yaml": "PyYAML",
}
"""The packages that all of the work needs, with the names by which pip installs them."""

CONTINUES = "what was done is kept: the same command continues"
"""What a stopped command says that goes on by itself."""

LIBRARIES = ("site-packages", "dist-packages", str(Path(__file__).parent))
"""Parts of the paths of code that is not the user's."""


class UserError(ValueError):
    """A mistake in what the user gave: a flag, a file, an architecture.

    Its message is one line: the flag or file, the expected value, the given value.
    The command line prints that line and exits with code 2; from Python it is an ordinary ``ValueError``.

    ``about`` is what was wrong, for a caller that can say more about it.
    """

    def __init__(self, message: str = "", about: object = None) -> None:
        super().__init__(message)
        self.about = about


@contextmanager
def told_when_stopped(kept: str) -> Iterator[None]:
    """Says in a ``KeyboardInterrupt`` from within what it leaves, unless an inner block has said so."""
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.args = stop.args or (kept,)
        raise


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its kind where it says nothing. A first line that ends in a colon needs more."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])


def told(error: BaseException) -> str:
    """An error of the user's own code in one line: its kind, what it says, and the line of that code that raised it."""
    kind, said = type(error).__name__, first_line(error)
    return f"{kind if said == kind else f'{kind}: {said}'}{place(error)}"


def place(error: BaseException) -> str:
    """The line of the user's own code that raised an error, as `` (mine.py, line 19)``; empty where it is not known."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith("<") and not any(part in f.filename for part in LIBRARIES)]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""


def check_extra(extra: str, where: str, *packages: str) -> None:
    """Raises ``UserError`` when a package of an extra (one of ``packages``, if given) is not installed."""
    missing = [name for name in packages or EXTRAS[extra] if not _installed(name)]
    if missing:
        raise UserError(f"{where}: needs {', '.join(missing)}, not installed: pip install 'sparsenas[{extra}]'")


def check_installed(package: str) -> None:
    """Raises ``UserError`` when a package that all work needs is not installed, before anything is done without it."""
    if not _installed(package):
        raise UserError(f"needs {package}, not installed: pip install {package}")


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def check_at_least(values: Mapping[str, object], least: Mapping[str, float]) -> None:
    """Raises ``UserError`` for the first value that is below its least one, or no number."""
    for name, low in least.items():
        value = values.get(name, low)
        if not (isinstance(value, int | float) and value >= low):
            raise UserError(f"{name}: expected >= {low}, got {value}")
