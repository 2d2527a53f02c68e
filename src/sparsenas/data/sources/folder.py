"""Image files in one folder per class, as in ImageNet."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import torch

from sparsenas.data.dataset import Data
from sparsenas.data.encoded import OnBad
from sparsenas.data.loader import SIDE, ImageLoader, Size
from sparsenas.data.splits import origins, split_parts
from sparsenas.data.telling import tell
from sparsenas.errors import UserError

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
LISTS = ("LOC_val_solution.csv", "val_annotations.txt", "val.txt")
"""Label files of ImageNet's validation images, for a folder without class folders."""

PARTS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""Names of folders that hold a part of the images, in any case."""

MOST_NAMED = 10
"""Classes that a message names."""


@dataclass(frozen=True)
class ImageFiles:
    """Images that are files."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """The path."""
        return str(self.paths[index])

    def read(self, index: int) -> bytes:
        """The content of the file."""
        return self.paths[index].read_bytes()

    def row_groups(self, rows: torch.Tensor) -> None:
        """None: every file is read alone."""


def imagefolder(
    root: Path,
    seed: int = 0,
    size: Size | None = None,
    val_share: float = 0.1,
    test_share: float = 0.2,
    smallest_crop: float | None = None,
    jitter: float = 0.0,
    memory: float = 4096,
    workers: int = 2,
    on_bad: OnBad = "refuse",
) -> Data:
    """Loads image files from class folders, in one of three layouts.

    With folders train and val, as in ImageNet, val is the test split and the validation split is split off train. With
    a folder test as well, val is the validation split. With class folders alone both are split off. Other names of
    these folders: training, valid, validation, testing, also with capitals.
    Validation images of ImageNet without class folders need one of its label files beside them. Training images are
    random crops, mirrored at random; other images are centre crops. Images that have the size already are used whole:
    in training shifted by up to an eighth of it and mirrored.

    Args:
        root: folder of the data set: CLASS/IMAGE, of which validation and test images are split off; or
            train/CLASS/IMAGE and val/CLASS/IMAGE or test/CLASS/IMAGE, which is the test split; or all three, where val
            is the validation split.
        seed: seed of the validation split.
        size: height,width of the network's input in pixels; one number is a square. Default: 224, or what a
            network of another library wants.
        val_share: share of the training images that is the validation split, with equal class shares, between 0 and 1.
        test_share: share of all images that is the test split if no folder is, between 0 and 1.
        smallest_crop: smallest area of a random crop in training, as a share of the image, above 0 and at most 1.
            Default: 0.25; none for images that have the size, which are used whole.
        jitter: largest change of brightness, contrast and saturation in training, as a share; 0 = none.
        memory: MiB. Decoded images are kept in memory if all fit into it; otherwise each batch is decoded anew.
        workers: processes that decode images; 0 = the main process decodes.
        on_bad: refuse = unreadable images, and classes without images in any of the folders, stop the run with their
            path; skip = it goes on without them.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"--data.root {root}: expected a folder, found none{_place(root)}")
    loader = ImageLoader(SIDE if size is None else size, smallest_crop, jitter, memory, workers, on_bad)
    folders = _parts(root)
    classes = class_names(folders["train"], on_bad)
    parts = {}
    for part, folder in folders.items():
        paths, labels = listed(folder, root, classes)
        if on_bad == "refuse":
            _check_classes(folder, classes, labels)
        parts[part] = loader.encoded(ImageFiles(tuple(paths)), torch.tensor(labels))
    names = {part: f"folder {folder.name}" for part, folder in folders.items()}
    return loader.data(classes, split_parts(parts, val_share, test_share, seed), origins(names))


def _parts(root: Path) -> dict[str, Path]:
    """The folders of the parts; the root alone where it has class folders. Raises ``UserError``."""
    found: dict[str, Path] = {}
    unused = []
    for folder in _folders(root):
        part = next((part for part, names in PARTS.items() if folder.name.lower() in names), "")
        if part in found:
            raise UserError(
                f"--data.root {root}: expected one folder of {part} images, got {found[part].name} and {folder.name}"
            )
        if part:
            found[part] = folder
        else:
            unused.append(folder.name)
    if found and "train" not in found and not unused:
        raise UserError(f"--data.root {root}: expected a folder train, got {_some([f.name for f in found.values()])}")
    if "train" not in found:
        return {"train": root}
    if unused:
        tell(f"{root}: not used: {_some(unused)}; the folders of images are named train, val and test")
    return {part: found[part] for part in PARTS if part in found}


def _check_classes(folder: Path, classes: Sequence[str], labels: Sequence[int]) -> None:
    missing = sorted(set(range(len(classes))) - set(labels))
    if missing:
        raise UserError(
            f"{folder}: expected images of every class of the training images, found none of "
            f"{_some([classes[label] for label in missing])}; --data.on_bad skip goes on without them"
        )


def class_names(top: Path, on_bad: OnBad) -> tuple[str, ...]:
    """The names of the class folders with images, sorted. Raises ``UserError``."""
    folders = _folders(top)
    empty = [path.name for path in folders if not any(_images(path))]
    if empty and on_bad == "refuse":
        raise UserError(f"{top / empty[0]}: expected images, found none; --data.on_bad skip leaves the class out")
    names = tuple(path.name for path in folders if path.name not in empty)
    if len(names) < 2:
        files, one = len(list(filter(Path.is_file, top.iterdir()))), f", {names[0]}," if names else ""
        below = top / names[0] if names and len(_folders(top / names[0])) > 1 else None
        raise UserError(
            f"--data.root {top}: expected folders of at least two classes, got {len(names)}{one} and {files} files; "
            + (f"did you mean {below}? " if below else "")
            + "each class is a folder: CLASS/IMAGE, or train/CLASS/IMAGE beside val and test"
        )
    return names


def _place(missing: Path) -> str:
    """Where a folder was looked for, and one of a similar name there, for a message."""
    place = missing.absolute()
    beside = [path.name for path in place.parent.iterdir() if path.is_dir()] if place.parent.is_dir() else []
    near = get_close_matches(place.name, beside, 1)
    where = "" if missing.is_absolute() else f" at {place}"
    return f"{where}; did you mean {missing.parent / near[0]}?" if near else where


def listed(folder: Path, root: Path, classes: Sequence[str]) -> tuple[list[Path], list[int]]:
    """All images of a folder with class folders, or with a label file, and their labels. Raises ``UserError``."""
    labels = {name: label for label, name in enumerate(classes)}
    folders = [path for path in _folders(folder) if any(_images(path))]
    strange = [path.name for path in folders if path.name not in labels]
    if len(strange) < len(folders):
        if strange:
            raise UserError(f"{folder / strange[0]}: expected a class of the training images, {_some(classes)}")
        found = [
            (path, labels[name]) for name in classes if (folder / name).is_dir() for path in _images(folder / name)
        ]
    else:
        found = _from_list(folder, root, labels)
    if not found:
        raise UserError(f"{folder}: expected images in folders named {classes[0]}, {classes[1]} ..., found none")
    return [path for path, _ in found], [label for _, label in found]


def _from_list(folder: Path, root: Path, labels: dict[str, int]) -> list[tuple[Path, int]]:
    lists = [place / name for place in (folder, root) for name in LISTS if (place / name).is_file()]
    if not lists:
        raise UserError(f"{folder}: expected class folders, or one of {', '.join(LISTS)} beside the images, found none")
    by_stem = {path.stem: path for path in _images(folder)}
    found = []
    for words in csv.reader(lists[0].read_text().replace(",", " ").replace("\t", " ").splitlines(), delimiter=" "):
        if len(words) > 1 and (path := by_stem.get(Path(words[0]).stem)) is not None:
            if words[1] not in labels:
                raise UserError(f"{lists[0]}: expected a class of the training images for {words[0]}, got {words[1]!r}")
            found.append((path, labels[words[1]]))
    return found


def _folders(place: Path) -> list[Path]:
    """The folders in a place, without hidden ones, which programs make beside the user's own."""
    return sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    """All images of a folder; none of its hidden files and folders."""
    return [path for path in visible(folder) if path.suffix.lower() in ENDINGS]


def visible(folder: Path) -> list[Path]:
    """All files of a folder, sorted; none of its hidden files and folders."""
    every = sorted(folder.rglob("*"))
    return [path for path in every if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _some(classes: Sequence[str]) -> str:
    return ", ".join(classes[:MOST_NAMED]) + (", ..." if len(classes) > MOST_NAMED else "")
