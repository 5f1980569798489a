"""The methods that a measurement sets side by side.

Most are a function of a pair of frames and a factor. A method of the registry may also be measured as the
paper measures the phase-based one, with a temporal filter on a clip (:mod:`mm.evaluation.oscillation`).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from mm.errors import InputError
from mm.evaluation import oscillation
from mm.methods import LearnedMagnifier, Magnifier
from mm.methods.parameters import convert, fill
from mm.networks import ThreePartNetwork
from mm.networks.weights import load
from mm.registry import methods
from mm.temporal import Band

BASELINE = "input"
LEARNED = "learned"


class Candidate(Protocol):
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
        """See :class:`Candidate`."""
        return b


@dataclass(frozen=True)
class Network:
    """The learned method with some weights."""

    name: str
    network: ThreePartNetwork

    def magnify(self, a: Tensor, b: Tensor, factor: Tensor) -> Tensor:
        """See :class:`Candidate`."""
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
        """See :class:`Candidate`."""
        return torch.stack([self._pair(*pair) for pair in zip(a, b, factor.tolist(), strict=True)])

    def build(self, factor: float) -> Magnifier:
        """Return the method at work with this factor, motion being measured from the clip's first frame.

        Raises:
            InputError: for a method that compares no frames, such as acceleration, or cannot do without
                options of its own.
        """
        shared = {"factor": factor, "mode": "static", "band": None, "device": self.device}
        return _built(self.name, self.make, "against a reference frame", shared)

    def _pair(self, a: Tensor, b: Tensor, factor: float) -> Tensor:
        magnifier = self.build(factor)
        shown = torch.cat([magnifier.push(torch.stack([a, b])), magnifier.flush()])
        if len(shown) != 2:
            raise InputError(
                f"the method {self.name!r} gave {len(shown)} frames for a clip of 2; it cannot be measured "
                "on pairs of frames, leave it out"
            )
        return shown[1]


@dataclass(frozen=True)
class Filtered:
    """A method of the registry in temporal mode, on the clip of :mod:`mm.evaluation.oscillation`.

    Attributes:
        name: under which it is registered.
        make: the registered callable; it takes ``mode`` and ``band``.
        device: where it is to work.
    """

    name: str
    make: Callable[..., Any]
    device: torch.device

    @staticmethod
    def fits(make: Callable[..., Any]) -> bool:
        """Whether a registered callable says that it has a temporal mode: it takes ``mode`` and ``band``."""
        return {"mode", "band"} <= set(_takes(make))

    @property
    def has_filter(self) -> bool:
        """Whether the band's FIR filter is used; else a kernel of the method's own, for one frequency."""
        return "frequency" not in _takes(self.make)

    def magnify(self, clip: Iterable[Tensor], factor: float) -> Tensor:
        """Magnify the motion in a clip.

        Args:
            clip: frames (3, H, W) in [0, 1].
            factor: the gain.

        Returns:
            (3, H, W), the clip's middle frame.

        Raises:
            InputError: for a method that gives more or fewer frames than it is given.
        """
        magnifier = self.build(factor)
        middle, count = None, 0
        for frame in _streamed(magnifier, clip):
            if count == oscillation.MIDDLE:
                middle = frame
            count += 1
        if middle is None or count != oscillation.FRAMES:
            raise InputError(
                f"the method {self.name!r} gave {count} frames for a clip of {oscillation.FRAMES}; it cannot "
                "be measured on a clip, leave it out"
            )
        return middle

    def build(self, factor: float) -> Magnifier:
        """Return the method at work with this factor and the paper's filter.

        Raises:
            InputError: for a method that cannot do without options of its own, or refuses the band.
        """
        band = oscillation.BAND
        own = {}
        if not self.has_filter:
            band = Band(band.low, band.high, band.fps)
            own["frequency"] = oscillation.FREQUENCY
        shared = {"factor": factor, "mode": "temporal", "band": band, "device": self.device}
        return _built(self.name, self.make, "on a clip", shared, own)


@dataclass(frozen=True)
class FilteredNetwork(Filtered):
    """The learned method with some weights in temporal mode, on the same clip as :class:`Filtered`.

    Attributes:
        network: which :func:`filtered_network` has also bound into ``make``.
    """

    network: ThreePartNetwork


def filtered_network(name: str, network: ThreePartNetwork, device: torch.device) -> FilteredNetwork:
    """Return the learned method with this network, to be measured in temporal mode."""
    return FilteredNetwork(name, partial(LearnedMagnifier, network), device, network)


def protocol(method: Candidate | Filtered) -> str:
    """Say on what a method is measured."""
    if not isinstance(method, Filtered):
        return "two frames"
    band, frequency = oscillation.BAND, oscillation.FREQUENCY
    passed = (
        f"a FIR filter of {band.taps} taps, {band.low:g}–{band.high:g} Hz"
        if method.has_filter
        else f"the method's own temporal kernel, for {frequency:g} Hz"
    )
    return (
        f"the middle one of {oscillation.FRAMES} frames, {band.fps:g} a second, in which things move at "
        f"{frequency:g} Hz, through {passed}"
    )


def _takes(make: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(make).parameters


def _built(
    name: str,
    make: Callable[..., Magnifier],
    how: str,
    shared: Mapping[str, Any],
    own: Mapping[str, Any] | None = None,
) -> Magnifier:
    """Make a method, with those of the shared parameters that it has, and ``own``."""
    try:
        return fill(make, name, shared, own)
    except InputError as error:
        raise _unfit(name, how, error) from error


def _unfit(name: str, how: str, error: InputError) -> InputError:
    # Without the way out that follows: a measurement gives methods no options.
    reason = re.split("; |: give ", str(error))[0]
    return InputError(
        f"the method {name!r} cannot be measured {how}, with its default options: {reason}; leave it out"
    )


def _streamed(magnifier: Magnifier, clip: Iterable[Tensor]) -> Iterator[Tensor]:
    for frame in clip:
        yield from magnifier.push(frame[None])
    yield from magnifier.flush()


def candidates(
    names: Sequence[str], device: torch.device, *, clips: bool = False, temporal: bool = False
) -> list[Candidate | Filtered]:
    """Return the methods that ``names`` describe, the input itself before them.

    Args:
        names: each the name of a registered method ("learned" is the network with the shipped weights), or
            NAME=WEIGHTS: the network with other weights (what :func:`mm.load` takes) under a name of its own.
        device: where to work.
        clips: whether registered methods that have a temporal mode are to be measured on clips, with the
            paper's filter, not on pairs of frames. The network is on pairs, as in the paper.
        temporal: whether all of them are to be measured on clips, the network too: in temporal mode.

    Raises:
        InputError: for a method that is not registered (with the close match) or cannot be measured so,
            weights that cannot be loaded, two columns of one name, or none at all.
    """

    def with_weights(name: str, source: str | None) -> Network | FilteredNetwork:
        network = load(source, device)
        return filtered_network(name, network, device) if temporal else Network(name, network)

    found: list[Candidate | Filtered] = [Baseline()]
    for text in names:
        name, is_weights, source = (part.strip() for part in text.partition("="))
        if not name or (is_weights and not source):
            raise InputError(f"a method is NAME, or NAME=WEIGHTS, got {text!r}")
        if name in {each.name for each in found}:
            which = "is always shown" if name == BASELINE else "is given twice"
            raise InputError(f"the method {name!r} {which}; give each column a name of its own")
        if is_weights:
            found.append(with_weights(name, source))
        elif name == LEARNED:
            found.append(with_weights(name, None))
        else:
            found.append(_registered(name, device, clips or temporal))
            if temporal and not isinstance(found[-1], Filtered):
                raise InputError(
                    f"the method {name!r} has no temporal mode and cannot be measured on a clip; leave it out"
                )
    if len(found) == 1:
        raise InputError("no method is given; name at least one, such as learned")
    return found


def _registered(name: str, device: torch.device, clips: bool) -> Registered | Filtered:
    """Return a registered method after a trial of setting it up, so that it fails now or not at all."""
    make = methods.get(name)
    kind = Filtered if clips and Filtered.fits(make) else Registered
    try:
        convert(name, {})
    except InputError as error:
        raise _unfit(name, "here", error) from error
    made = kind(name, make, device)
    made.build(2.0)
    return made
