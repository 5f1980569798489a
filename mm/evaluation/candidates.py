"""The candidates: methods that a measurement sets side by side.

Each answers two questions: the magnified frame of a pair, and a whole magnified clip. A method of the
registry may answer the first as the paper measures the phase-based one, with a temporal filter on a clip
(:mod:`mm.evaluation.oscillation`).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

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

if TYPE_CHECKING:
    from mm.evaluation.pairs import Pair

BASELINE = "input"
LEARNED = "learned"
CHUNK = 8  # frames pushed at once


@dataclass(frozen=True)
class Clip:
    """A recorded clip and the question about it.

    Attributes:
        frames: (T, 3, H, W) float32 in [0, 1].
        factor: the gain.
        band: magnified in temporal mode; None measures motion from the first frame.
        region: (x, y, width, height) px in the first frame, shown to methods that follow a region.
    """

    frames: Tensor
    factor: float
    band: Band | None = None
    region: tuple[int, int, int, int] | None = None


class Candidate(Protocol):
    """A method under measurement."""

    @property
    def name(self) -> str:
        """The name in tables and legends."""
        ...

    @property
    def network(self) -> ThreePartNetwork | None:
        """The network, if it is the learned method."""
        ...

    @property
    def measured_on(self) -> str:
        """The input of :meth:`magnify`, in words."""
        ...

    def magnify(self, pair: Pair) -> Tensor:
        """Magnify the motion between two frames; return (B, 3, H, W) float32 in [0, 1]."""
        ...

    def stream(self, clip: Clip) -> Tensor:
        """Magnify the motion in a clip; return (T, 3, H, W) float32 in [0, 1], on the CPU."""
        ...


@dataclass(frozen=True)
class Baseline:
    """Does nothing: the moved frame as it is, "SSIM(input, truth)" of the paper's Figure 8."""

    name: str = BASELINE
    network: ThreePartNetwork | None = None
    measured_on: str = "two frames"

    def magnify(self, pair: Pair) -> Tensor:
        """See :class:`Candidate`."""
        return pair.b

    def stream(self, clip: Clip) -> Tensor:
        """See :class:`Candidate`."""
        return clip.frames


@dataclass(frozen=True)
class Method:
    """A method behind its streaming interface; a pair is a clip of two frames.

    Attributes:
        name: the column's.
        make: the registered callable.
        device: where it is to work.
        network: the learned method's, already bound into ``make``.
    """

    name: str
    make: Callable[..., Any]
    device: torch.device
    network: ThreePartNetwork | None = None
    measured_on = "two frames"

    def build(self, factor: float, band: Band | None = None, **own: Any) -> Magnifier:
        """Return the method at work: in temporal mode with a band, else against the first frame.

        Args:
            factor: the gain.
            band: the frequencies to magnify.
            **own: the method's own options.

        Raises:
            InputError: for a method that cannot work so, or not without options of its own.
        """
        mode = "static" if band is None else "temporal"
        shared = {"factor": factor, "mode": mode, "band": band, "device": self.device}
        try:
            return fill(self.make, self.name, shared, own)
        except InputError as error:
            raise _unfit(
                self.name, "against a reference frame" if band is None else "on a clip", error
            ) from error

    def trial(self) -> None:
        """Set the method up once, so that it fails now or not at all.

        Raises:
            InputError: as :meth:`build`.
        """
        self.build(2.0)

    def magnify(self, pair: Pair) -> Tensor:
        """See :class:`Candidate`."""
        clips = torch.stack([pair.a, pair.b], 1)
        factors = pair.factor.tolist()
        return torch.stack(
            [
                self._streamed(self.build(factor), frames)[1]
                for frames, factor in zip(clips, factors, strict=True)
            ]
        )

    def stream(self, clip: Clip) -> Tensor:
        """See :class:`Candidate`."""
        own = {"region": clip.region} if clip.region and self._follows_a_region else {}
        return self._streamed(self.build(clip.factor, clip.band, **own), clip.frames).cpu()

    @property
    def _follows_a_region(self) -> bool:
        return "region" in inspect.signature(self.make).parameters

    def _streamed(self, magnifier: Magnifier, frames: Tensor) -> Tensor:
        shown = torch.cat([*map(magnifier.push, frames.split(CHUNK)), magnifier.flush()])
        self._check(len(shown), len(frames))
        return shown

    def _check(self, shown: int, given: int) -> None:
        if shown != given:
            raise InputError(
                f"the method {self.name!r} gave {shown} frames for a clip of {given}; it cannot be measured, "
                "leave it out"
            )


@dataclass(frozen=True)
class Network(Method):
    """The learned method on pairs of frames, as in the paper: many at once."""

    def magnify(self, pair: Pair) -> Tensor:
        """See :class:`Candidate`."""
        assert self.network is not None
        return self.network.magnify_pair(pair.a, pair.b, pair.factor)


@dataclass(frozen=True)
class Streamed(Method):
    """A method on whole clips alone, in temporal mode with the band's default filter, as users have it."""

    measured_on = "a clip"

    def trial(self) -> None:
        """See :class:`Method`."""
        own = {"region": (0, 0, 64, 64)} if self._follows_a_region else {}
        self.build(2.0, Band(2.0, 4.0, 30.0), **own)


@dataclass(frozen=True)
class Filtered(Method):
    """A method in temporal mode, on the clip of :mod:`mm.evaluation.oscillation` instead of a pair."""

    @property
    def has_filter(self) -> bool:
        """True if the band's FIR filter is used, not a kernel of the method for one frequency."""
        return "frequency" not in inspect.signature(self.make).parameters

    @property
    def measured_on(self) -> str:  # type: ignore[override]
        """The clip and the filter, in words."""
        band, frequency = oscillation.BAND, oscillation.FREQUENCY
        passed = (
            f"a FIR filter of {band.taps} taps, {band.low:g}–{band.high:g} Hz"
            if self.has_filter
            else f"the method's own temporal kernel, for {frequency:g} Hz"
        )
        return (
            f"the middle one of {oscillation.FRAMES} frames, {band.fps:g} a second, in which things move at "
            f"{frequency:g} Hz, through {passed}"
        )

    def on_oscillation(self, factor: float) -> Magnifier:
        """Return the method at work with the paper's filter; raises as :meth:`build`."""
        band = oscillation.BAND
        if self.has_filter:
            return self.build(factor, band)
        return self.build(factor, Band(band.low, band.high, band.fps), frequency=oscillation.FREQUENCY)

    def trial(self) -> None:
        """See :class:`Method`."""
        self.on_oscillation(2.0)

    def magnify(self, pair: Pair) -> Tensor:
        """See :class:`Candidate`: the middle frame of each clip."""
        clips = zip(pair.clips(), pair.levels, strict=True)
        return torch.stack([self.middle(clip, level.factor) for clip, level in clips])

    def middle(self, clip: Iterator[Tensor], factor: float) -> Tensor:
        """Return the middle frame (3, H, W) of a magnified clip, of which only one frame is held at a time.

        Raises:
            InputError: for a method that gives more or fewer frames than it is given.
        """
        magnifier = self.on_oscillation(factor)
        middle, count = None, 0
        for frame in _frames(magnifier, clip):
            if count == oscillation.MIDDLE:
                middle = frame
            count += 1
        self._check(count, oscillation.FRAMES)
        assert middle is not None
        return middle


def _frames(magnifier: Magnifier, clip: Iterator[Tensor]) -> Iterator[Tensor]:
    for frame in clip:
        yield from magnifier.push(frame[None])
    yield from magnifier.flush()


def _unfit(name: str, how: str, error: InputError) -> InputError:
    # Without the way out that follows: a measurement gives methods no options.
    reason = re.split("; |: give ", str(error))[0]
    return InputError(
        f"the method {name!r} cannot be measured {how}, with its default options: {reason}; leave it out"
    )


def learned(name: str, network: ThreePartNetwork, device: torch.device, *, temporal: bool = False) -> Method:
    """Return the learned method with this network, on pairs or in temporal mode on clips."""
    kind = Filtered if temporal else Network
    return kind(name, partial(LearnedMagnifier, network), device, network)


def candidates(
    names: Sequence[str],
    device: torch.device,
    *,
    clips: bool = False,
    temporal: bool = False,
    streams: bool = False,
) -> list[Candidate]:
    """Return the methods that ``names`` describe, the input itself before them.

    Args:
        names: each the name of a registered method ("learned" is the network with the shipped weights), or
            NAME=WEIGHTS: the network with other weights (a name, or a file, that :func:`mm.load` takes) under
            another name.
        device: where to work.
        clips: whether registered methods that have a temporal mode are to be measured on clips, with the
            paper's filter, not on pairs of frames. The network is on pairs, as in the paper.
        temporal: whether all of them are to be measured on clips, the network too: in temporal mode.
        streams: whether only :meth:`Candidate.stream` will be asked, in temporal mode.

    Raises:
        InputError: for a method that is not registered (with the close match) or cannot be measured so,
            weights that cannot be loaded, two columns of one name, or no name at all.
    """
    found: list[Candidate] = [Baseline()]
    for text in names:
        name, is_weights, source = (part.strip() for part in text.partition("="))
        if not name or (is_weights and not source):
            raise InputError(f"a method is NAME, or NAME=WEIGHTS, got {text!r}")
        if name in {each.name for each in found}:
            which = "is always shown" if name == BASELINE else "is given twice"
            raise InputError(f"the method {name!r} {which}; give each column another name")
        if is_weights or name == LEARNED:
            found.append(learned(name, load(source or None, device), device, temporal=temporal))
        else:
            kind = Streamed if streams else Filtered if clips or temporal else Method
            found.append(_registered(name, device, kind, temporal or streams))
    if len(found) == 1:
        raise InputError("no method is given; name at least one, such as learned")
    return found


def _registered(name: str, device: torch.device, kind: type[Method], temporal: bool) -> Method:
    make = methods.get(name)
    has_mode = {"mode", "band"} <= set(inspect.signature(make).parameters)
    if temporal and not has_mode:
        raise InputError(
            f"the method {name!r} has no temporal mode and cannot be measured on a clip; leave it out"
        )
    try:
        convert(name, {})
    except InputError as error:
        raise _unfit(name, "here", error) from error
    made = (kind if has_mode else Method)(name, make, device)
    made.trial()
    return made
