"""The operations of a network, as ``torch.export`` lists them, whatever its ``forward`` looks like."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.utils.hooks import RemovableHandle

from sparsenas.errors import UserError, first_line, place
from sparsenas.nn.quiet import quiet
from sparsenas.nn.tree import Tree, arguments, call, map_tensors, tensors

DATA_DEPENDENT = "what its code does depends on values of tensors, as with an `if` on one"
"""What torch says otherwise in the words of its symbolic shapes."""
CACHE = "its output has a cache, which net.config.use_cache = False leaves out"
"""Of decoders of transformers, whose cache torch.export does not know."""
PACKED = "it packs sequences for an LSTM or GRU, which torch.export does not know; padded ones can be read"


class FailingExample(NamedTuple):
    """An example on which a network does not run; what an error is about."""

    shapes: list[tuple[int, ...]]


@dataclass(frozen=True)
class Calls:
    """How the modules of a network are called, by their paths."""

    with_more: set[str] = field(default_factory=set)
    """Those that are called otherwise than with one argument by its place."""
    no_tensor: set[str] = field(default_factory=set)
    """Those that return anything but one tensor."""
    given: dict[str, list[tuple[int, ...]]] = field(default_factory=dict)
    """The shapes of the tensors among the arguments."""


@dataclass(frozen=True)
class Captured:
    """The graph of a network."""

    graph: fx.Graph
    parameters: dict[str, str]
    """The first name of the parameter or buffer behind each of the graph's placeholders."""
    tensors: dict[str, Tensor]
    """Parameters, buffers and constants by name."""
    calls: Calls


def capture(net: nn.Module, example: Tree) -> Captured:
    """Exports a network in evaluation mode. Raises ``UserError`` where that is not possible."""
    was_training, fast = net.training, torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    args, kwargs = arguments(net, map_tensors(Tensor.clone, example))
    calls, hooks = _noted_calls(net)
    try:
        with quiet(), redirect_stderr(StringIO()), torch.no_grad():  # torch prints the graph of one that it cannot read
            program = torch.export.export(net.eval(), args, kwargs, strict=False)
    except Exception as error:  # torch.export raises whatever the network's own code does
        raise _failure(net, example, error) from error
    finally:
        for hook in hooks:
            hook.remove()
        net.train(was_training)
        torch.backends.mha.set_fastpath_enabled(fast)
    signature = program.graph_signature
    first = {id(tensor): name for name, tensor in (*net.named_parameters(), *net.named_buffers())}
    every = (*net.named_parameters(remove_duplicate=False), *net.named_buffers(remove_duplicate=False))
    canonical = {name: first[id(tensor)] for name, tensor in every}
    named = {
        placeholder: canonical.get(name, name)
        for placeholder, name in {**signature.inputs_to_parameters, **signature.inputs_to_buffers}.items()
    }
    constants = {**signature.inputs_to_lifted_tensor_constants}
    known: dict[str, Tensor] = dict((*net.named_parameters(), *net.named_buffers()))
    known |= {name: value for name, value in program.constants.items() if isinstance(value, Tensor)}
    return Captured(program.graph, {**named, **constants}, known, calls)


def _noted_calls(net: nn.Module) -> tuple[Calls, list[RemovableHandle]]:
    """Notes the calls until the hooks are removed."""
    calls = Calls()

    def noted(path: str) -> Callable[..., None]:
        def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            calls.given[path] = [tuple(x.shape) for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
            if len(args) != 1 or kwargs:
                calls.with_more.add(path)
            if not isinstance(output, Tensor):
                calls.no_tensor.add(path)

        return note

    inner = [(path, module) for path, module in net.named_modules(remove_duplicate=False) if path]
    hooks = [module.register_forward_hook(noted(path), with_kwargs=True) for path, module in inner]
    return calls, hooks


def _failure(net: nn.Module, example: Tree, error: Exception) -> UserError:
    """Why a network cannot be exported."""
    name, said = f"open {type(net).__name__}", first_line(error)
    if not _fails(net, example):
        said = DATA_DEPENDENT if "data-dependent" in said else said
        said = CACHE if "Cache'> in output" in said else said
        recurrent = any(isinstance(module, nn.RNNBase) for module in net.modules())
        said = PACKED if recurrent and "failed to unpack" in said else said
        return UserError(f"{name}: torch.export cannot read it: {said}{place(error)}")
    given = [tuple(tensor.shape) for tensor in tensors(example)]
    shapes = ", ".join(map(str, given))
    if isinstance(example, tuple | list) and len(given) > 1 and not _fails(net, example[0]):
        return UserError(f"{name}: expected the inputs alone, got parts of shape {shapes}; it runs on the first part")
    one = map_tensors(lambda leaf: leaf[None], example)
    hint = "" if _fails(net, one) else "; the first dimension, of the examples of a batch, is missing"
    return UserError(f"{name}: does not run on the example, of shape {shapes}: {said}{hint}", FailingExample(given))


def _fails(net: nn.Module, example: Tree) -> bool:
    """Whether a network cannot run an example at all."""
    try:
        with torch.no_grad():
            call(net, map_tensors(Tensor.clone, example))
    except Exception:  # the network's own code may raise anything
        return True
    return False


def owner(node: fx.Node) -> str:
    """The path of the module whose code runs an operation."""
    stack = node.meta.get("nn_module_stack")
    return next(reversed(stack.values()))[0] if stack else ""


def owners(node: fx.Node) -> list[str]:
    """The paths of the modules, outermost first, whose code runs an operation."""
    stack: dict[str, Any] = node.meta.get("nn_module_stack") or {}
    return [path for path, _ in stack.values()]


def shape(node: Any) -> tuple[int, ...]:
    """The shape of a node's tensor; of an operation with several results, that of the first."""
    value = node.meta["val"]
    first = value[0] if isinstance(value, tuple | list) else value
    return tuple(first.shape) if isinstance(first, Tensor) else ()
