"""Networks of other libraries, by the names that they have there, opened as the space ``open`` opens a user's own."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar

from torch import nn

from sparsenas.data.preprocessing import Preprocessing
from sparsenas.errors import UserError, check_extra, told
from sparsenas.nn.tree import Tree
from sparsenas.opening.fitting import COLORS, load_fitting
from sparsenas.opening.opened import OpenedNetwork
from sparsenas.opening.weights import FLAG, read_weights
from sparsenas.spaces.open import OpeningFlags, opened_for

CLASSES = 1000
"""Classes where no data say how many: those of ImageNet."""
SIDE = 224
"""Height and width where neither the data nor the network's configuration says them."""


@dataclass(frozen=True, kw_only=True)
class BridgeFlags(OpeningFlags):
    """Flags of the spaces of other libraries."""

    pretrained: bool = True
    """Whether its weights are those of the library, from its cache or the internet, where no file is given"""


@dataclass(frozen=True)
class Bridge(ABC):
    """A network of another library: a search space, to be called as ``open_space``."""

    name: str
    """The network's name in the library."""
    prefix: ClassVar[str]
    """Of the space's name; also the extra that installs the library."""
    package: ClassVar[str]
    has: ClassVar[str]
    """An attribute of the package, by which it is told from a module of the user's of the same name."""
    reserved: ClassVar[frozenset[str]]
    """Arguments that load weights or code, which ``args`` may not have."""

    def __call__(
        self,
        shape: tuple[int, ...] | Tree | None = None,
        classes: int = CLASSES,
        flags: BridgeFlags = BridgeFlags(),  # noqa: B008
    ) -> OpenedNetwork:
        """Opens the network for images of a shape (channels, height, width), and a number of classes.

        Raises ``UserError`` where the library is missing, and where the network cannot be built or opened.
        """
        shape = self.shape(flags.args) if shape is None else shape
        if not (isinstance(shape, tuple | list) and len(shape) == 3 and all(isinstance(side, int) for side in shape)):
            raise UserError(f"{self}: expected images, channels, height and width, got inputs {shape}")
        net = self._made(flags.args, classes, shape[0])
        changes = self._load(net, classes, flags)
        opened = opened_for(net, shape, flags)
        opened.notes = tuple(changes)
        opened.code = self.code(flags.args, classes, shape[0])
        return opened

    def __str__(self) -> str:
        return f"--space {self.prefix}:{self.name}"

    @classmethod
    def canonical(cls, name: str) -> str:
        """The name as files keep it."""
        return name

    @abstractmethod
    def meant(self) -> list[str]:
        """Names near to this one, where the library does not list it."""

    @abstractmethod
    def code(self, args: Mapping[str, Any], classes: int, channels: int) -> str:
        """The expression that builds the network without sparsenas."""

    @abstractmethod
    def network(self, args: Mapping[str, Any], classes: int, channels: int) -> nn.Module:
        """The network for a number of classes and of input channels, without trained weights."""

    @abstractmethod
    def trained(self, args: Mapping[str, Any]) -> nn.Module:
        """The network as the library has it, with its weights."""

    @abstractmethod
    def asked(self, args: Mapping[str, Any]) -> Preprocessing:
        """The images that the network's configuration asks for."""

    def preprocessing(self, args: Mapping[str, Any]) -> Preprocessing:
        """The images that the network's configuration asks for. Raises ``UserError``."""
        self._check(args)
        try:
            return self.asked(args)
        except Exception as error:  # code of the library's
            raise self._failure(error) from error

    def shape(self, args: Mapping[str, Any]) -> tuple[int, int, int]:
        """The shape of one image as the configuration asks for it. Raises ``UserError``."""
        return (COLORS, *(self.preprocessing(args).size or (SIDE, SIDE)))

    def _check(self, args: Mapping[str, Any]) -> None:
        check_extra(self.prefix, str(self))
        try:
            library = importlib.import_module(self.package)
        except Exception as error:  # code of the library's
            raise UserError(f"{self}: {self.package} cannot be imported: {told(error)}") from error
        if getattr(library, self.has, None) is None:
            hides = f"got {library.__file__}, which hides it; rename that"
            raise UserError(f"{self}: expected the package {self.package}, {hides}")
        if taken := self.reserved & args.keys():
            raise UserError(f"--space.args: expected no {min(taken)}, which loads weights or code")

    def _made(self, args: Mapping[str, Any], classes: int, channels: int) -> nn.Module:
        self._check(args)
        try:
            return self.network(args, classes, channels)
        except Exception as error:  # code of the library's
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> UserError:
        near = self.meant()
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        return UserError(f"{self}: cannot be built: {told(error)}{hint}")

    def _load(self, net: nn.Module, classes: int, flags: BridgeFlags) -> list[str]:
        """Loads the weights that the flags name; returns what was changed to fit them."""
        if flags.weights is not None:
            found = read_weights(net, str(flags.weights))
            return load_fitting(net, found, classes, f"{FLAG} {flags.weights}")
        if not flags.pretrained:
            return []
        try:
            found = dict(self.trained(flags.args).state_dict())
        except Exception as error:  # code of the library's, and its downloads
            hint = "--space.weights FILE loads others, --space.pretrained false none"
            raise UserError(f"{self}: its weights cannot be loaded: {told(error)}; {hint}") from error
        return load_fitting(net, found, classes, f"weights of {self}")


def near(name: str, known: Iterable[str]) -> list[str]:
    """Known names that a wrong one may stand for; none for a known one."""
    listed = list(known)
    return [] if name in listed else get_close_matches(name, listed, 3)


def words(arguments: Mapping[str, Any]) -> str:
    """Arguments by name, as Python writes them."""
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())
