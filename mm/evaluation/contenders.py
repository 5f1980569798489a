"""The methods that a measurement sets side by side, each as a function of a pair of frames and a factor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from mm.errors import InputError
from mm.methods import Magnifier
from mm.networks import MagnificationNetwork
from mm.networks.weights import load
from mm.registry import methods

BASELINE = "input"
LEARNED = "learned"


class Contender(Protocol):
    """A method under measurement.

    Attributes:
        name: what tables and legends call it.
    """

    @property
    def name(self) -> str:
        """What tables and legends call it."""
        ...

    def magnify(self, a: Tensor, b: Tensor, factor: Tensor) -> Tensor:
        """Magnify the motion from ``a`` to ``b``.

        Args:
            a, b: (B, 3, H, W) float32 in [0, 1].
            factor: (B,).

        Returns:
            (B, 3, H, W) float32 in [0, 1].
        """
        ...


@dataclass(frozen=True)
class Baseline:
    """Does nothing: the moved frame as it is, "SSIM(input, truth)" of the paper's Figure 8."""

    name: str = BASELINE

    def magnify(self, a: Tensor, b: Tensor, factor: Tensor) -> Tensor:
        """See :class:`Contender`."""
        return b


@dataclass(frozen=True)
class Network:
    """The learned method with some weights."""

    name: str
    network: MagnificationNetwork

    def magnify(self, a: Tensor, b: Tensor, factor: Tensor) -> Tensor:
        """See :class:`Contender`."""
        return self.network.magnify_pair(a, b, factor)


@dataclass(frozen=True)
class Registered:
    """A method of the registry, as it is on a clip of the two frames.

    Attributes:
        name: under which it is registered.
        make: the registered callable.
        device: where it is to work.
    """

    name: str
    make: Callable[..., Any]
    device: torch.device

    def magnify(self, a: Tensor, b: Tensor, factor: Tensor) -> Tensor:
        """See :class:`Contender`."""
        return torch.stack([self._pair(*pair) for pair in zip(a, b, factor.tolist(), strict=True)])

    def build(self, factor: float) -> Magnifier:
        """Return the method at work with this factor."""
        takes = inspect.signature(self.make).parameters
        anything = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in takes.values())
        options = {"factor": factor, "band": None, "device": self.device}
        own = {key: value for key, value in options.items() if anything or key in takes}
        made: Magnifier = self.make(**own)
        return made

    def _pair(self, a: Tensor, b: Tensor, factor: float) -> Tensor:
        magnifier = self.build(factor)
        shown = torch.cat([magnifier.push(torch.stack([a, b])), magnifier.flush()])
        if len(shown) != 2:
            raise InputError(
                f"the method {self.name!r} gave {len(shown)} frames for a clip of 2; it cannot be measured "
                "on pairs of frames, leave it out"
            )
        return shown[1]


def contenders(names: Sequence[str], device: torch.device) -> list[Contender]:
    """Return the methods that ``names`` describe, the input itself before them.

    Args:
        names: each the name of a registered method ("learned" is the network with the shipped weights), or
            NAME=WEIGHTS: the network with other weights (what :func:`mm.load` takes) under a name of its own.
        device: where to work.

    Raises:
        InputError: for a method that is not registered (with the close match), weights that cannot be loaded,
            two columns of one name, or none at all.
    """
    found: list[Contender] = [Baseline()]
    for text in names:
        name, is_weights, source = (part.strip() for part in text.partition("="))
        if not name or (is_weights and not source):
            raise InputError(f"a method is NAME, or NAME=WEIGHTS, got {text!r}")
        if name in {each.name for each in found}:
            which = "is always shown" if name == BASELINE else "is given twice"
            raise InputError(f"the method {name!r} {which}; give each column a name of its own")
        if is_weights:
            found.append(Network(name, load(source, device)))
        else:
            make = methods.get(name)
            found.append(
                Network(name, load(None, device)) if name == LEARNED else Registered(name, make, device)
            )
    if len(found) == 1:
        raise InputError("no method is given; name at least one, such as learned")
    return found
