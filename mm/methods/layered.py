"""Small motion on a region that moves far: follow it, magnify in its own frame, put it back (DVMAG)."""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from mm.errors import InputError
from mm.methods.affine import Spline, apply, compose, grid, identity, inverse, shifted
from mm.methods.base import Magnifier
from mm.methods.codes import from_int16, to_int16
from mm.methods.linear import luminance
from mm.methods.masks import check_mask, feathered, read_mask, rectangle
from mm.methods.parameters import Precision, make
from mm.methods.signal import SignalBand
from mm.methods.stabilisation import AffineStabiliser
from mm.methods.stream import FrameStream, Mode
from mm.networks.magnification import MagnificationNetwork
from mm.registry import methods
from mm.runtime import exact_arithmetic
from mm.temporal import Band
from mm.temporal.base import Aligned
from mm.video.grid import View

Stabilise = Literal["all", "slow"]

# What the inner method sees is wider than the region by a quarter of its shorter side, within these px.
_MARGIN_PART, _MARGIN_LEAST, _MARGIN_MOST = 0.25, 16, 64
# Towards the frame's border, and that of what the inner method sees, the change fades over so many px.
_FADE = 3.0


class _Waiting(NamedTuple):
    """A frame whose magnified region is not there yet."""

    codes: Tensor  # (3, H, W)
    found: bool
    steady: Tensor  # the transform that stabilises: from the first frame's points to this one's
    shown: Tensor  # the transform of the magnified region


@methods.register("layered")
class LayeredMagnifier(FrameStream):
    """Follows a region, magnifies inside it by another method, and lays it back (Elgharib et al. 2015).

    An affine transform takes the region of the first frame to where it is in each other frame; seen through
    it the region stands still, and any method can magnify what little moves in it. The magnified region is
    then taken through the same transform and laid over the frame. Only the *change* is resampled and added,
    so outside the region, and where nothing changes, each pixel is the input's own.

    What is magnified depends on ``stabilise``:

    - "all": the whole affine motion is taken out, and only the region's deformation is magnified.
    - "slow": what the band selects of the affine motion is left in, so that a small vibration of the region
      as a whole is magnified as well, while its large motion and whatever else is outside the band is
      followed. The stabilising transform then holds nothing in the band, neither motion nor errors of its
      own that magnification would multiply. A large motion is only taken out so far as it has no part in the
      band: even motion has none; a sharp turn has.

    Around the region the inner method is shown the first frame's surroundings, moved as the region moves, so
    that what passes behind the region does not disturb it. The region's rim moves with the magnified affine
    motion. What it uncovers is kept from the input: there the rim of the region itself may show.

    Where less than 40 % of the region is in the frame, or it is not recognised, the frame is left as it is,
    with a warning; the change fades to nothing at the frame's border. Departs from the paper in that the
    matte is given by the user, is not estimated, and is not magnified by its own deformation.

    Between calls it holds what the inner method does, the region of the first frame, and in temporal mode
    the frames that wait for both filters, whatever the clip's length (``ideal`` excepted).

    Args:
        factor: total gain of the displacement, at least 0; 1 leaves it as it is.
        mode: "static", "dynamic" or "temporal", in the region's own frame.
        band: the frequencies to magnify; needed in temporal mode, refused in the others.
        region: (x, y, width, height) of the region in the first frame, px of the input clip, whatever
            ``--scale`` and ``--roi`` are. Where a program pushes the frames: of those.
        mask: instead of it: a tensor (H, W) in [0, 1] or an image file of the same frames' size, white where
            the region is in the first one.
        inner: the method that magnifies the region: another one of those that `mm methods` lists. Its options
            can be given beside these.
        stabilise: "all" or "slow"; None: "slow" in temporal mode, "all" in the others.
        feather: px (after ``--scale``) from the region's rim inwards over which the magnified region is
            blended in; 0 to use the mask's own grey values as they are.
        batch: frames that the inner method works on at once.
        network: for an inner method that has one, such as "learned": see there. None: its own.
        precision: "32" or "bf16", for an inner method that has it; others warn of "bf16".
        device: where to work; None: the CPU.
        **options: further options go to the inner method.

    Raises:
        InputError: for a factor, mode or band as in the other methods, neither or both of ``region`` and
            ``mask``, a mask that cannot be used, an inner method that is not there or is this one, an option
            or a network that it does not take, "slow" without a band. When frames are pushed: for a region
            outside the frame, a mask of another size, a region without texture.
    """

    name = "layered"

    def __init__(
        self,
        factor: float = 10.0,
        mode: Mode = "static",
        band: Band | None = None,
        *,
        region: tuple[int, int, int, int] | None = None,
        mask: str | Path | Tensor | None = None,
        inner: str = "phase",
        stabilise: Stabilise | None = None,
        feather: float = 4.0,
        batch: int = 1,
        network: MagnificationNetwork | str | Path | None = None,
        precision: Precision = "32",
        device: str | torch.device | None = None,
        **options: Any,
    ) -> None:
        self._device = torch.device("cpu" if device is None else device)
        if inner == self.name:
            raise InputError(
                "the layered method cannot be its own inner method; choose another, such as inner=phase"
            )
        if (region is None) == (mask is None):
            raise InputError(
                "the layered method needs a region to follow: give --option region=x,y,width,height or "
                "--option mask=FILE (white where the region is in the first frame)"
                + ("" if region is None else ", one of the two, not both")
            )
        if not 0 <= feather <= 1000:
            raise InputError(f"feather must be from 0 to 1000 px, got {feather:g}")
        if stabilise is not None and stabilise not in get_args(Stabilise):
            raise InputError(f"stabilise must be {' or '.join(get_args(Stabilise))}, got {stabilise!r}")
        if stabilise == "slow" and band is None:
            raise InputError(
                "stabilise=slow leaves in what is in the band, but there is none; give --low, --high and "
                "--fps, or choose stabilise=all"
            )
        self.region, self.inner, self.feather = region, inner, float(feather)
        self.stabilise: Stabilise = stabilise or ("all" if band is None else "slow")
        self._whole_mask = None if mask is None else read_mask(mask)
        # What of them is in the frames that are pushed.
        self._region, self._mask = region, self._whole_mask
        self._mask_name = str(mask) if isinstance(mask, (str, Path)) else "mask"
        shared: dict[str, Any] = {
            "factor": factor,
            "mode": mode,
            "band": band,
            "batch": batch,
            "device": self._device,
        }
        shared |= {"network": network, "precision": precision}
        self._inner = make(inner, shared, options, where=" inside layered")
        self.trained_reach = self._inner.trained_reach
        self._course: SignalBand | None = None
        # One frame at a time here; the inner method makes its own batches.
        super().__init__(factor, mode, band, 1)
        self.batch_inside = batch
        if band is not None and self.stabilise == "slow":
            self._course = SignalBand(band)

    @property
    def device(self) -> torch.device:
        """The device of the method."""
        return self._device

    # Inner filters count frames.
    keep_time = Magnifier.keep_time

    def see_through(self, view: View) -> None:
        """Take the region or the mask for one of a clip; see :class:`mm.methods.Magnifier`."""
        if self.region is not None:
            self._region = view.box(self.region)
        if self._whole_mask is not None:
            check_mask(self._whole_mask, *view.clip)
            self._mask = view.cut(view.resize(self._whole_mask[None, None]))[0, 0]
            if not bool((self._mask >= 0.5).any()):
                raise InputError(f"the white of {self._mask_name} lies outside --roi; change one of them")

    def watch(self, look: Callable[[Tensor], object]) -> None:
        """Show ``look`` what the inner method sees: the region's large motion is taken out before."""
        self._inner.watch(look)

    # --- what it says of itself ---------------------------------------------------------------------------

    def memory(self, height: int, width: int, frames: int) -> int:
        """Bytes held between calls; a call needs more beside it."""
        matte = self._matte_for(height, width)
        _, (high, wide) = _surroundings(matte)
        waiting = self.batch_inside + (0 if self.filter is None else self.filter.delay)
        if self._course is not None:
            waiting += self._course.delay
        if self.band is not None and self.band.filter == "ideal":
            waiting = frames
        held = min(frames, waiting) * 6 * height * width
        held += self._inner.memory(high, wide, frames)
        # The first frame and the matte as splines, and the levels by which the region is followed.
        held += 16 * (height + 38) * (width + 38) + 16 * high * wide
        held += 100 * min(20_000, int((matte > 0).sum())) * 4 // 3
        return held + (0 if self._course is None else self._course.memory(6, frames))

    def describe(self) -> str:
        """One line for the user."""
        if self.region is None:
            where = self._mask_name
        else:
            x, y, wide, high = self.region
            where = f"{wide}×{high} px at {x},{y}"
        taken = "all affine motion" if self.stabilise == "all" else "affine motion outside the band"
        return f"layered, {where}, {taken} taken out; inside it {self._inner.describe()}"

    # --- the stream ---------------------------------------------------------------------------------------

    def _reset(self) -> None:
        if getattr(self, "_open", False):
            # A clip that ended with an error is still in the inner method.
            _emptied(self._inner)
        if self._course is not None:
            self._course = SignalBand(self._course.band)
        super()._reset()
        self._open = False
        self._stabiliser: AffineStabiliser | None = None
        self._unsteady: deque[tuple[Tensor, bool, Tensor]] = deque()
        self._inside: deque[_Waiting] = deque()
        self._seen = 0
        self._told = False

    def _prepare(self, height: int, width: int) -> None:
        self._matte = self._matte_for(height, width).to(self.device)
        self._origin, self._crop = _surroundings(self._matte.cpu())

    def _matte_for(self, height: int, width: int) -> Tensor:
        if self._mask is None:
            assert self._region is not None
            return feathered(rectangle(self._region, height, width), self.feather)
        check_mask(self._mask, height, width)
        return feathered(self._mask, self.feather)

    def _begin(self, frame: Tensor, grey: Tensor) -> AffineStabiliser:
        assert self._size is not None
        mask = self._mask if self._mask is not None else rectangle(self._region or (0, 0, 0, 0), *self._size)
        stabiliser = AffineStabiliser(grey, mask.to(self.device))
        self._first = Spline(frame)
        self._matte_spline = Spline(self._matte[None], 0.5)
        self._places = grid(*self._crop, self._origin, self.device)
        return stabiliser

    def _work(self, frames: Tensor) -> Iterator[Tensor]:
        for frame in frames:
            with exact_arithmetic(self.device):
                grey = luminance(frame[None])[0]
                if self._stabiliser is None:
                    self._stabiliser = self._begin(frame, grey)
                    transform, found = identity(), True
                else:
                    transform, found, inside = self._stabiliser.follow(grey)
                    if not found:
                        self._tell_lost(inside)
            self._seen += 1
            self._unsteady.append((to_int16(frame), found, transform))
            if self._course is None:
                yield from self._steadied(transform, torch.zeros_like(transform))
            else:
                for values, passed in self._course.push(transform.flatten()):
                    yield from self._steadied(values.view(2, 3), passed.view(2, 3))

    def _rest(self) -> Iterator[Tensor]:
        if self._course is not None:
            for values, passed in self._course.flush():
                yield from self._steadied(values.view(2, 3), passed.view(2, 3))
        for magnified in self._inner.flush_parts():
            yield from self._finished(magnified)
        self._open = False

    def _released(self, aligned: Aligned) -> Iterator[Tensor]:
        raise NotImplementedError  # Frames do not pass through a filter of this method's own.

    def _steadied(self, transform: Tensor, kept: Tensor) -> Iterator[Tensor]:
        """Give the inner method the oldest frame, taken through its transform less what is ``kept``."""
        codes, found, _ = self._unsteady.popleft()
        steady = transform - kept
        with exact_arithmetic(self.device):
            seen = self._view(from_int16(codes), steady, compose(inverse(steady), transform), found)
        self._inside.append(_Waiting(codes, found, steady, steady + self.factor * kept))
        self._open = True
        yield from self._finished(self._inner.push(seen[None]))

    def _view(self, frame: Tensor, steady: Tensor, residual: Tensor, found: bool) -> Tensor:
        """Return the inner method's frame (3, h, w): the region now, with the first frame around it."""
        then = apply(inverse(residual), self._places)
        view = self._first.at(then)
        if found:
            points = apply(steady, self._places)
            own = self._matte_spline.at(then).clamp_(0, 1) * _fade(points, frame.shape[-2:])
            view = view + own * (Spline(frame).at(points) - view)
        return view.view(3, *self._crop).clamp(0, 1)

    def _finished(self, magnified: Tensor) -> Iterator[Tensor]:
        for one in magnified:
            waited = self._inside.popleft()
            frame = from_int16(waited.codes)
            if waited.found and self.factor != 1:
                with exact_arithmetic(self.device):
                    self._lay(frame, one, waited.steady, waited.shown)
            yield frame[None].clamp_(0, 1).to(self._home)

    def _lay(self, frame: Tensor, magnified: Tensor, steady: Tensor, shown: Tensor) -> None:
        """Add to a frame what the inner method changed, where its matte is."""
        height, width = frame.shape[-2:]
        (left, top), (high, wide) = self._origin, self._crop
        corners = grid(2, 2) * torch.tensor([wide - 1.0, high - 1.0]) + torch.tensor([left, top])
        there = apply(steady, corners.double())
        low = there.amin(0).floor().long().clamp_min(0).tolist()
        end = torch.minimum(there.amax(0).ceil().long() + 1, torch.tensor([width, height])).tolist()
        if low[0] >= end[0] or low[1] >= end[1]:
            return
        points = apply(steady, self._places)
        change = magnified.flatten(1) - Spline(frame).at(points)
        change = (change * _fade(points, (height, width))).view(3, high, wide)
        places = grid(end[1] - low[1], end[0] - low[0], (float(low[0]), float(low[1])), self.device)
        within = apply(shifted(inverse(steady), (0.0, 0.0), self._origin), places)
        matte = self._matte_spline.at(apply(inverse(shown), places)).clamp_(0, 1)
        added = Spline(change).at(within) * (matte * _fade(within, (high, wide)))
        part = frame[:, low[1] : end[1], low[0] : end[0]]
        part += added.view_as(part)

    def _tell_lost(self, inside: float) -> None:
        if self._told:
            return
        self._told = True
        warnings.warn(
            f"layered: the region is lost at frame {self._seen + 1}, where {inside:.0%} of it was last in "
            "the frame; such frames are left as they are",
            stacklevel=2,
        )


def _emptied(inner: Magnifier) -> None:
    """Make a method ready for another clip, whatever it holds."""
    try:
        inner.flush()
    except InputError:
        return


def _surroundings(matte: Tensor) -> tuple[tuple[float, float], tuple[int, int]]:
    """The (left, top) and (height, width) px of what the inner method sees; it may reach beyond the frame."""
    rows, columns = ((matte > 0).any(dim).nonzero()[:, 0] for dim in (1, 0))
    tall, wide = (int(side[-1] - side[0]) + 1 for side in (rows, columns))
    margin = min(_MARGIN_MOST, max(_MARGIN_LEAST, math.ceil(_MARGIN_PART * min(tall, wide))))
    return (float(columns[0]) - margin, float(rows[0]) - margin), (tall + 2 * margin, wide + 2 * margin)


def _fade(points: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """1 inside a picture of this (height, width), falling to 0 at its border and beyond; (n,) float32."""
    most = points.new_tensor([size[1] - 1, size[0] - 1])
    away = torch.minimum(points, most - points).amin(1)
    return (away / _FADE).clamp(0, 1).float()
