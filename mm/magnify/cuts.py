"""Cuts within a clip: where one shot ends and another begins, found while the clip streams by.

A cut is a change of the picture's *structure* that stands out from how much it changes nearby. Every frame is
made a small picture; two are compared by their normalised cross-correlation, the best of all shifts, which a
change of light, noise or a moving camera hardly lowers. What is unlike its predecessor is a cut unless

- frames around it are about as unlike each other (fast motion, noise, an unsteady clip);
- soon after, the picture is back (a flash, or a frame that was damaged);
- it is hardly brighter or darker anywhere (a picture of almost nothing).

All but the last need frames that come later: what is pushed is held for :data:`LOOK_AHEAD` frames.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

#: frames after a cut that are looked at before it is believed; a flash of fewer frames is none
LOOK_AHEAD = 3
# Frames before it that tell how much the clip changes from frame to frame.
_LOOK_BACK = 8
# Small pictures are this many px wide and high, each the mean of about so many samples a side.
_SIDE, _SAMPLES = 32, 4
# 1 − correlation. Ordinary clips stay below 0.02 from frame to frame, and below 0.3 at twenty times their
# speed; of two shots, even two that share a letterbox, it is 0.55 and more.
_UNLIKE = 0.4
# And a cut's change is this many times what is usual nearby.
_STANDS_OUT = 2.0
# The least mean change of brightness of a cut; from or to a picture that shows nothing (fades begin so) more.
_BRIGHTNESS, _FROM_NOTHING = 0.02, 0.1
# The contrast (standard deviation) below which a picture shows nothing, not even when it is that dark.
_CONTRAST = 0.003


@dataclass(frozen=True)
class _Look:
    """A small picture: its brightness, and its structure as a spectrum of unit energy."""

    grey: Tensor
    spectrum: Tensor
    flat: bool


def _look(frame: Tensor) -> _Look:
    # A regular sample of the pixels does for the mean of a cell: reading all of a large frame takes longer.
    rows, columns = (max(1, side // (_SIDE * _SAMPLES)) for side in frame.shape[-2:])
    grey = frame[:, ::rows, ::columns].detach().float().cpu().mean(0, keepdim=True)
    grey = F.adaptive_avg_pool2d(grey, (min(_SIDE, grey.shape[-2]), min(_SIDE, grey.shape[-1])))[0]
    centred = grey - grey.mean()
    # A border that fades: the sides of a picture have nothing to do with each other.
    windows = [torch.hann_window(side + 2, periodic=False)[1:-1] for side in grey.shape]
    centred = centred * windows[0].unsqueeze(1).sqrt() * windows[1].sqrt()
    energy = float(centred.norm())
    flat = energy < _CONTRAST * math.sqrt(centred.numel())
    # Natural pictures are alike in their coarsest light and shade, which are most of their energy; the finest
    # is noise, and lost by a movement. The root of the frequency weighs between the two.
    rows, columns = grey.shape
    frequency = torch.hypot(torch.fft.fftfreq(rows).unsqueeze(1), torch.fft.rfftfreq(columns))
    spectrum = torch.fft.rfft2(centred) * frequency.sqrt()
    size = float(torch.fft.irfft2(spectrum, s=grey.shape).norm())
    return _Look(grey, spectrum / max(size, 1e-9), flat)


def _unlike(one: _Look, other: _Look) -> float:
    """0 for pictures that are the same but for light and a shift, 1 for pictures with nothing in common."""
    if one.flat or other.flat:
        return 0.0 if one.flat and other.flat else 1.0
    correlation = torch.fft.irfft2(one.spectrum * other.spectrum.conj(), s=one.grey.shape)
    return 1 - max(0.0, min(1.0, float(correlation.max())))


class CutDetector:
    """Tells of each frame whether a cut lies before it, :data:`LOOK_AHEAD` frames late.

    ``push`` takes frames and gives the answers that are known by then, in order; ``flush`` gives the rest.
    """

    def __init__(self) -> None:
        # Frames whose answer is still to come, and how much each differs from the one before it.
        self._looks: deque[_Look] = deque()
        self._changes: deque[float] = deque()
        # The same of the shot so far. A flash may lie between a frame and the one that it is like.
        self._shot: deque[_Look] = deque(maxlen=LOOK_AHEAD + 1)
        self._past: deque[float] = deque(maxlen=_LOOK_BACK)

    def push(self, frames: Tensor) -> list[bool]:
        """Look at frames (n, 3, H, W) in [0, 1]; say of earlier ones whether a cut lies before them."""
        answers = []
        for frame in frames:
            look = _look(frame)
            before = self._looks or self._shot
            self._changes.append(_unlike(before[-1], look) if before else 0.0)
            self._looks.append(look)
            if len(self._looks) > LOOK_AHEAD:
                answers.append(self._decide())
        return answers

    def flush(self) -> list[bool]:
        """Say it of the frames that are left, and be ready for another clip."""
        answers = [self._decide() for _ in range(len(self._looks))]
        self._shot.clear()
        self._past.clear()
        return answers

    def _decide(self) -> bool:
        look, change = self._looks.popleft(), self._changes.popleft()
        cut = bool(self._shot) and change > _UNLIKE and self._is_cut(look, change)
        if cut:
            self._shot.clear()
            self._past.clear()
        elif self._shot:
            self._past.append(change)
        self._shot.append(look)
        return cut

    def _is_cut(self, look: _Look, change: float) -> bool:
        before = self._shot[-1]
        least = _FROM_NOTHING if look.flat or before.flat else _BRIGHTNESS
        if float((look.grey - before.grey).abs().mean()) < least:
            return False
        # The quietest of what follows: another cut may be near. What came before is this shot's alone.
        usual = max(statistics.median(self._past or [0.0]), min(self._changes, default=0.0))
        if change < _STANDS_OUT * usual:
            return False
        return all(_unlike(old, new) > _UNLIKE for old in self._shot for new in (look, *self._looks))


def at_cuts(
    chunks: Iterable[tuple[Tensor, tuple[int, ...]]], detector: CutDetector
) -> Iterator[tuple[Tensor, tuple[int, ...], bool]]:
    """Hand the chunks on, a few frames late, divided where there is a cut.

    Args:
        chunks: frames (n, 3, H, W) with their times.
        detector: a fresh one.

    Yields:
        Frames, their times, and whether a cut lies before the first. A chunk without a cut comes as it was.
    """
    held: deque[tuple[Tensor, tuple[int, ...]]] = deque()
    answers: deque[bool] = deque()

    def ready() -> Iterator[tuple[Tensor, tuple[int, ...], bool]]:
        while held and len(answers) >= len(held[0][1]):
            frames, pts = held.popleft()
            cuts = [answers.popleft() for _ in pts]
            starts = [0, *(at for at, cut in enumerate(cuts) if cut and at)]
            for start, end in zip(starts, [*starts[1:], len(pts)], strict=True):
                yield frames[start:end], pts[start:end], cuts[start]

    for frames, pts in chunks:
        held.append((frames, pts))
        answers.extend(detector.push(frames))
        yield from ready()
    answers.extend(detector.flush())
    yield from ready()
