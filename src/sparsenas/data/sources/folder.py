"""A folder of pictures, one folder a class: one's own, or ImageNet's."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sparsenas.data.dataset import Data
from sparsenas.data.loader import OnBad
from sparsenas.data.transforms import Shown, arranged
from sparsenas.errors import UserError

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
LISTS = ("LOC_val_solution.csv", "val_annotations.txt", "val.txt")
"""Files that say the classes of a folder of ImageNet's validation pictures without class folders."""


@dataclass(frozen=True)
class PictureFiles:
    """Pictures that are files."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """The path."""
        return str(self.paths[index])

    def read(self, index: int) -> bytes:
        """The file."""
        return self.paths[index].read_bytes()

    def row_groups(self, rows: torch.Tensor) -> None:
        """Every file is read alone."""


def imagefolder(
    root: Path,
    seed: int = 0,
    size: int = 224,
    val_share: float = 0.1,
    test: float = 0.2,
    jitter: float = 0.0,
    memory: float = 4096,
    workers: int = 2,
    on_bad: OnBad = "refuse",
) -> Data:
    """Loads pictures from class folders: root/train/CLASS and root/val/CLASS, as ImageNet has them, or root/CLASS.

    With train and val, val is for testing; with test as well, val is held out. Pictures of ImageNet's val that lie in
    no class folders need one of the usual lists beside them. Training shows random parts of the pictures, mirrored;
    else the middle square is shown.

    Args:
        root: the folder.
        seed: decides the held-out split.
        size: side of what the network sees.
        val_share: share of the training pictures that is held out, with equal class shares.
        test: share of all pictures that is for testing, always the same, where there is no folder for that.
        jitter: how much brightness, contrast and saturation vary in training; 0 = not at all.
        memory: MiB of decoded pictures up to which all are kept in memory; more are decoded for each batch.
        workers: processes that decode.
        on_bad: what to do with damaged files and empty classes: refuse them, or skip them and say so.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"--data.root {root}: expected a folder, found none")
    show = Shown(size, jitter, memory, workers, on_bad)
    top = root / "train" if (root / "train").is_dir() else root
    classes = class_names(top, on_bad)
    folders = {"train": top} | ({} if top == root else _others(root))
    parts = {}
    for part, folder in folders.items():
        paths, labels = listed(folder, root, classes)
        parts[part] = show.pictures(PictureFiles(tuple(paths)), torch.tensor(labels))
    return show.data(classes, arranged(parts, val_share, test, seed))


def _others(root: Path) -> dict[str, Path]:
    names = {"val": ("val", "valid", "validation"), "test": ("test",)}
    return {part: root / name for part, tried in names.items() for name in tried if (root / name).is_dir()}


def class_names(top: Path, on_bad: OnBad) -> tuple[str, ...]:
    """The names of the class folders with pictures, sorted. Raises ``UserError``."""
    folders = sorted(path for path in top.iterdir() if path.is_dir() and not path.name.startswith("."))
    empty = [path.name for path in folders if not any(_pictures(path))]
    if empty and on_bad == "refuse":
        raise UserError(f"{top / empty[0]}: expected pictures, found none; --data.on_bad skip leaves the class out")
    names = tuple(path.name for path in folders if path.name not in empty)
    if len(names) < 2:
        raise UserError(f"--data.root {top}: expected a folder for each of at least two classes, got {len(names)}")
    return names


def listed(folder: Path, root: Path, classes: Sequence[str]) -> tuple[list[Path], list[int]]:
    """All pictures of a folder with class folders, or with a list of classes beside them. Raises ``UserError``."""
    labels = {name: label for label, name in enumerate(classes)}
    strange = [path for path in folder.iterdir() if path.is_dir() and path.name not in labels and any(_pictures(path))]
    if any((folder / name).is_dir() for name in classes) and not strange:
        found = [
            (path, labels[name]) for name in classes if (folder / name).is_dir() for path in _pictures(folder / name)
        ]
    else:
        found = _from_list(folder, root, labels)
    if not found:
        raise UserError(f"{folder}: expected pictures in folders named {classes[0]}, {classes[1]} ..., found none")
    return [path for path, _ in found], [label for _, label in found]


def _from_list(folder: Path, root: Path, labels: dict[str, int]) -> list[tuple[Path, int]]:
    lists = [place / name for place in (folder, root) for name in LISTS if (place / name).is_file()]
    if not lists:
        raise UserError(
            f"{folder}: expected class folders, or one of {', '.join(LISTS)} beside the pictures, found none"
        )
    by_stem = {path.stem: path for path in _pictures(folder)}
    found = []
    for words in csv.reader(lists[0].read_text().replace(",", " ").replace("\t", " ").splitlines(), delimiter=" "):
        if len(words) > 1 and (path := by_stem.get(Path(words[0]).stem)) is not None:
            if words[1] not in labels:
                raise UserError(
                    f"{lists[0]}: expected a class of the training pictures for {words[0]}, got {words[1]!r}"
                )
            found.append((path, labels[words[1]]))
    return found


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
