"""The Lagrangian method: points followed, motion layers found, and layers moved (Liu et al. 2005)."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mm.errors import InputError
from mm.methods.codes import from_int16, to_int16
from mm.methods.lagrangian.cells import at, cells_of, centres
from mm.methods.lagrangian.compositing import Backdrop, Moved, compose
from mm.methods.lagrangian.fields import LayerField
from mm.methods.lagrangian.flows import FlowFunction, as_bytes, find_flow, run_flow
from mm.methods.lagrangian.layers import MOMENTS, cell_layers, pixel_layers, share_of_cells, soft
from mm.methods.lagrangian.refinement import Slopes, explained, measure, slopes
from mm.methods.lagrangian.scene import Model, Registration, camera_motion, check_registration, learn
from mm.methods.lagrangian.scene import apply as apply_camera
from mm.methods.lagrangian.trajectories import choose_points, unexplained
from mm.methods.linear import luminance
from mm.methods.stream import FrameStream, Mode
from mm.registry import methods
from mm.temporal import Band
from mm.temporal.base import Aligned
from mm.video.grid import View

Layers = Literal["moving", "most", "all"]

_MOST_STEPS, _MOST_LAYERS = 10, 16
# Points by which the camera is followed, at most; more change nothing.
_GUIDES = 600
# Layers in front that let less through than this hide what is behind.
_OPAQUE = 0.02


class _Pending(NamedTuple):
    """A frame whose layers or whose band are not known yet."""

    codes: Tensor
    camera: np.ndarray | None = None


class _Plan(NamedTuple):
    """The moved layers, and their description."""

    camera: Model | None
    guides: np.ndarray
    masks: tuple[Tensor, ...]
    fields: tuple[LayerField, ...]
    backdrop: Backdrop
    behind: LayerField | None
    behind_moves: bool
    words: str
    label: Tensor


@methods.register("flow")
class FlowMagnifier(FrameStream):
    """Follows points through the clip, sorts them into layers that move alike, and moves the layers farther.

    1. Dense flow from the reference to each frame, on a grid of one cell in 4×4 px, refined to a hundredth of
       a pixel in Gaussian windows (:mod:`mm.methods.lagrangian.refinement`).
    2. The first ``window`` frames are held. The trajectories of some hundred textured points are sorted by
       how their motion correlates in time (section 3.2 of the paper): what rests is the background, the
       others are layers 1, 2, … by falling strength. Should nothing move, the next ``window`` frames decide.
    3. The camera's motion, if there is any, is taken out before measuring and put back after: see
       ``registration``.
    4. Every pixel is given a layer, by motion and then by which layer's motion explains its brightness.
    5. The chosen layers of each frame are moved by ``factor − 1`` times their motion (what the band passes
       of it in temporal mode), larger layers behind smaller ones, the unmoved scene behind all. What they
       bare is taken from the first frame that showed it; if none has, what lies around is mirrored in.

    Motion may be large, and what moves keeps its brightness and sharpness: neither can be had from an
    Eulerian method. The price is that what has no texture, is transparent, changes its brightness or comes
    into view after the first frame cannot be followed, and that errors of the layers' borders are seen.

    The reference of measuring is the first frame (static, temporal) or the frame before (dynamic, where
    points are followed from frame to frame). In dynamic mode the output is the previous frame's place with
    ``factor`` times the step.

    Between calls it holds less than a batch of frames, ``window`` frames until layers are known, and in
    temporal mode what the filter looks ahead to (``ideal`` holds the whole clip); :meth:`memory` says how
    much. See :class:`mm.methods.Magnifier` for the interface.

    Args:
        factor, mode, band, batch, device: see :class:`mm.methods.eulerian.EulerianMagnifier`. The flow itself
            is computed on the CPU.
        flow: "dis" (Kroeger et al. 2016), "farneback", "none" (motion below half a pixel only), the place of
            your own function as "module:function", or a function; see
            :data:`mm.methods.lagrangian.flows.FlowFunction`.
        steps: refinements of the flow, 0 to 10; 0 takes the flow as it is.
        registration: "none"; "affine" or "homography" to take out the motion that most points agree on; or
            "auto": none if a tenth of the points rest, affine if more than half agree and others move beside
            them, and none again if all move as one, since there is nothing else to magnify.
        layers: what is magnified: "moving" (all but the background), "most" (the layer of most motion),
            "all" (the background too), a layer's number, or a point "x,y" that lies on it, in px of the first
            frame, whatever ``scale`` and ``roi`` a clip is magnified with (inside ``layered``: of what that
            shows).
        window: frames from which layers are learned, at least 2. A slow motion needs about its period.
        most: layers at most beside the background, 1 to 16.
        trust: a place's motion is believed if following it takes away this part of the change of brightness,
            0 to 1. Noise reaches 0.2 to 0.3; lower it for motion that barely stands out of that.

    Raises:
        InputError: also for options outside their range, and while frames are pushed for a layer or a point
            that is not there, or a flow function that gives something else than a flow.
    """

    name = "flow"
    # What is followed may go far, and of 512 px half precision knows half a pixel.
    storage = None

    def __init__(
        self,
        factor: float = 10.0,
        mode: Mode = "static",
        band: Band | None = None,
        *,
        flow: str | FlowFunction = "dis",
        steps: int = 2,
        registration: Registration = "auto",
        layers: Layers | int | tuple[float, float] = "moving",
        window: int = 30,
        most: int = 4,
        trust: float = 0.5,
        batch: int = 1,
        device: str | torch.device | None = None,
    ) -> None:
        self._device = torch.device("cpu" if device is None else device)
        self.flow = find_flow(flow)
        if not 0 <= steps <= _MOST_STEPS:
            raise InputError(f"steps must be from 0 to {_MOST_STEPS} refinements, got {steps}")
        check_registration(registration)
        if window < 2:
            raise InputError(f"window must be at least 2 frames, got {window}")
        if not 1 <= most <= _MOST_LAYERS:
            raise InputError(f"most must be from 1 to {_MOST_LAYERS} layers, got {most}")
        if not 0 <= trust <= 1:
            raise InputError(f"trust must be from 0 to 1, got {trust:g}")
        self.trust = float(trust)
        self.layers = _checked_layers(layers)
        self._point = self.layers if isinstance(self.layers, tuple) else None
        self.steps, self.window, self.most = steps, window, most
        self.registration: Registration = registration
        # The clip's first frame among all that were pushed: the shots of a video are clips to this method.
        self._begins, self._seen = 0, 0
        self._told = ""
        super().__init__(factor, mode, band, batch)
        self.alpha = self.factor - 1

    @property
    def device(self) -> torch.device:
        """The device on which motion is refined and layers are moved."""
        return self._device

    @property
    def label(self) -> Tensor | None:
        """The layer (H, W) of each pixel of the first frame, int64; None until layers are known."""
        return None if self._plan is None else self._plan.label

    def see_through(self, view: View) -> None:
        """Take the point of ``layers`` for one of a clip; see :class:`mm.methods.Magnifier`."""
        if isinstance(self.layers, tuple):
            self._point = view.point(self.layers)

    # --- the stream ---------------------------------------------------------------------------------------

    def _reset(self) -> None:
        super()._reset()
        self._begins += self._seen
        self._reference: tuple[Slopes, np.ndarray] | None = None
        self._first: Tensor | None = None
        self._tensor: Tensor | None = None
        self._last: Tensor | None = None  # Displacement from the first frame; dynamic mode.
        self._window: list[tuple[Tensor, Tensor]] = []
        self._plan: _Plan | None = None
        self._seen = 0
        self._waiting: deque[_Pending] = deque()
        self._before: Tensor | None = None
        self._change: Tensor | None = None  # Of brightness in the window, and what motion leaves of it.

    def _prepare(self, height: int, width: int) -> None:
        # What was found in the clip before; it is told until another begins.
        self._told = ""

    def _work(self, frames: Tensor) -> Iterator[Tensor]:
        for frame in frames:
            motion = self._follow(frame)
            self._seen += 1
            if self._plan is not None:
                yield from self._take(frame, motion)
                continue
            self._window.append((to_int16(frame), motion))
            if len(self._window) == self.window:
                yield from self._learn()

    def _rest(self) -> Iterator[Tensor]:
        if self._unfilled is not None:
            yield from self._work(self._unfilled)
        if self._window:
            # Some frames left over would correlate by chance.
            yield from self._learn(enough=2 * len(self._window) >= min(self.window, self._seen))
        if self._plan is None and self._seen > 1:
            warnings.warn(
                f"nothing moves in these {self._seen} frames, from frame {self._begins} on, that could be "
                "followed, so they come out unchanged; the flow method needs texture that moves together",
                stacklevel=4,
            )
        if self.filter is not None:
            for aligned in self.filter.flush_aligned():
                yield from self._released(aligned)

    def _learn(self, *, enough: bool = True) -> Iterator[Tensor]:
        """Tell layers from the window, if it has enough frames, and work off its frames."""
        self._plan = self._make_plan() if enough else None
        if self._plan is not None:
            self._told = self._plan.words
        window, self._window, self._change = self._window, [], None
        for codes, motion in window:
            yield from self._take(from_int16(codes), motion)

    def _take(self, frame: Tensor, motion: Tensor) -> Iterator[Tensor]:
        camera = self._camera(motion)
        left = motion if camera is None else self._registered(motion, camera)
        if self.filter is not None:
            self._waiting.append(_Pending(to_int16(frame), camera))
            for done in self.filter.push_aligned(left[None]):
                yield from self._released(done)
            return
        wanted = left
        if self.mode == "dynamic":
            wanted = torch.zeros_like(left) if self._before is None else left - self._before
            self._before = left
        yield self._finish(frame, camera, left, wanted)

    def _released(self, aligned: Aligned) -> Iterator[Tensor]:
        for left, wanted in zip(aligned.input, aligned.band, strict=True):
            pending = self._waiting.popleft()
            yield self._finish(from_int16(pending.codes), pending.camera, left, wanted)

    # --- measuring ----------------------------------------------------------------------------------------

    def _follow(self, frame: Tensor) -> Tensor:
        """Displacement (2, h, w) of the first frame's cells."""
        # The reference is a frame as it waits, so that it equals what comes back.
        grey = slopes(luminance(frame[None])[0, 0])
        image = as_bytes(frame)
        if self._reference is None:
            self._reference = grey, image
            self._first, self._tensor = frame.clone(), grey.tensor
            rows, columns = cells_of(frame.shape[-2], frame.shape[-1])
            self._last = frame.new_zeros(2, rows, columns)
            return self._last
        before, before_image = self._reference
        start = run_flow(self.flow, before_image, image).to(self.device)
        motion = measure(before, grey, start, self.steps)
        if self._plan is None:
            change = torch.stack(explained(before, grey, motion))
            self._change = change if self._change is None else self._change + change
        if self.mode != "dynamic":
            return motion
        assert self._last is not None
        self._reference = grey, image
        there = centres(frame.shape[-2], frame.shape[-1]).to(frame) + self._last
        self._last = self._last + at(motion, there)
        return self._last

    def _camera(self, motion: Tensor) -> np.ndarray | None:
        plan = self._plan
        if plan is None or plan.camera is None:
            return None
        assert self._tensor is not None
        points, moved, tensor = self._at_cells(plan.guides, motion[None])
        return camera_motion(points, points + moved[0], tensor, plan.camera)

    def _at_cells(self, cells: np.ndarray, motions: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places (n, 2), displacements (T, n, 2) and structure tensors (n, 3) of some cells."""
        assert self._tensor is not None
        assert self._first is not None
        rows, columns = cells.T
        places = centres(*self._first.shape[-2:]).numpy()[:, rows, columns].T
        moved = motions.cpu().numpy()[:, :, rows, columns].transpose(0, 2, 1)
        return places, moved, self._tensor.cpu().numpy()[:, rows, columns].T

    def _registered(self, motion: Tensor, camera: np.ndarray) -> Tensor:
        places = self._centres(motion)
        back = apply_camera(np.linalg.inv(camera), (places + motion).permute(1, 2, 0).cpu().double().numpy())
        return torch.from_numpy(back).permute(2, 0, 1).to(motion) - places

    def _centres(self, like: Tensor) -> Tensor:
        assert self._first is not None
        return centres(*self._first.shape[-2:]).to(like)

    # --- layers -------------------------------------------------------------------------------------------

    def _make_plan(self) -> _Plan | None:
        """Return the layers to move, or None if nothing moves."""
        assert self._tensor is not None
        assert self._first is not None
        cells = choose_points(self._tensor)
        motions = torch.stack([motion for _, motion in self._window])
        if self._change is None or not len(cells):
            return None
        believed = self._change[1] <= (1 - self.trust) * self._change[0]
        points, moved, tensor = self._at_cells(cells, motions)
        told = believed.cpu().numpy()[cells[:, 0], cells[:, 1]]
        scene = learn(points, moved, tensor, told, self.registration, self.most)
        if not len(scene.clusters.templates):
            return None
        guides = cells[scene.clusters.label == 0][:: max(1, len(cells) // _GUIDES)]
        if scene.camera is not None:
            left = []
            for motion in motions:
                places, there, weight = self._at_cells(guides, motion[None])
                camera = camera_motion(places, places + there[0], weight, scene.camera)
                left.append(self._registered(motion, camera))
            followed = torch.stack(left)
        else:
            followed = motions
        costs = unexplained(followed * believed, scene.clusters)
        if not scene.background:
            costs[0] = torch.inf
        label = self._pixel_layers(cell_layers(costs, self._tensor), motions)
        chosen = self._chosen(label, len(scene.clusters.templates))
        words = _words(scene.camera, scene.clusters.strength, scene.background, chosen)
        return self._arranged(label, chosen, scene.camera, guides, words)

    def _pixel_layers(self, cells: Tensor, motions: Tensor) -> Tensor:
        assert self._tensor is not None
        assert self._first is not None
        strength = motions.square().mean((1, 2, 3))
        best = strength.argsort(descending=True, stable=True)[:MOMENTS].tolist()
        greys = [luminance(from_int16(self._window[i][0])[None])[0, 0] for i in best]
        reference = luminance(self._first[None])[0, 0]
        return pixel_layers(cells, reference, greys, [motions[i] for i in best], self._tensor)

    def _chosen(self, label: Tensor, count: int) -> list[int]:
        """The layers to move, by number."""
        there = {int(name) for name in label.unique()}
        if self.layers == "all":
            return sorted(there)
        if self.layers == "moving":
            return sorted(there - {0})
        if self.layers == "most":
            return [min(there - {0})] if there - {0} else []
        if isinstance(self.layers, int):
            if self.layers not in there:
                raise InputError(
                    f"there is no layer {self.layers}: the first {self._seen} frames have "
                    f"{', '.join(map(str, sorted(there)))} (0 is the background); choose one of them"
                )
            return [self.layers]
        assert self._point is not None
        x, y = (round(value) for value in self._point)
        height, width = label.shape
        if not (0 <= x < width and 0 <= y < height):
            raise InputError(f"the point {x},{y} lies outside of the frame of {width}×{height} px")
        return [int(label[y, x])]

    def _arranged(
        self,
        label: Tensor,
        chosen: list[int],
        camera: Model | None,
        guides: np.ndarray,
        words: str,
    ) -> _Plan:
        """Layers from back to front: what is not chosen, then the chosen ones, the larger behind."""
        assert self._tensor is not None
        assert self._first is not None
        order = sorted(chosen, key=lambda name: -int((label == name).sum()))
        all_move = len(order) == len(label.unique())
        front = order[1:] if all_move else order
        if 0 in order:
            front = [name for name in order if name != 0]
        covered = torch.zeros_like(label, dtype=torch.bool)
        masks = []
        through = torch.ones_like(self._first[0])
        for name in reversed(front):
            # Of what the layers before it let through: laid over each other they give the layers' shares.
            share = soft(label == name)
            masks.append(torch.where(through > _OPAQUE, share / through.clamp_min(_OPAQUE), 0.0).clamp_(0, 1))
            through = through - share
            covered |= label == name
        masks.reverse()
        fields = tuple(LayerField(self._tensor, share_of_cells(label == name)) for name in front)
        behind = LayerField(self._tensor, share_of_cells(~covered)) if all_move else None
        cover = soft(covered) if bool(covered.any()) else torch.zeros_like(self._first[0])
        backdrop = Backdrop(self._first, cover)
        return _Plan(camera, guides, tuple(masks), fields, backdrop, behind, all_move, words, label)

    # --- moving -------------------------------------------------------------------------------------------

    def _finish(self, frame: Tensor, camera: np.ndarray | None, left: Tensor, wanted: Tensor) -> Tensor:
        plan = self._plan
        if plan is not None and self.alpha:
            moved = [self._moved(camera, field(left), field(wanted)) for field in plan.fields]
            if plan.behind is not None:
                behind = self._moved(camera, plan.behind(left), plan.behind(wanted))
            else:
                rest = torch.zeros_like(left)
                behind = self._moved(camera, rest, rest)
            frame = compose(frame, plan.masks, moved, plan.backdrop, behind)
        return frame.clamp(0, 1)[None].to(self._home)

    def _moved(self, camera: np.ndarray | None, left: Tensor, wanted: Tensor) -> Moved:
        """From motion in the registered scene to places in the frame."""
        then = left + self.alpha * wanted
        if camera is None:
            return Moved(left, then)
        places = self._centres(left)

        def seen(motion: Tensor) -> Tensor:
            there = apply_camera(camera, (places + motion).permute(1, 2, 0).cpu().double().numpy())
            return torch.from_numpy(there).permute(2, 0, 1).to(left) - places

        return Moved(seen(left), seen(then))

    # --- words --------------------------------------------------------------------------------------------

    def memory(self, height: int, width: int, frames: int) -> int:
        """Bytes held between calls, the flow's own and a call's not counted."""
        rows, columns = cells_of(height, width)
        pixels, cells = height * width, rows * columns
        # The reference as slopes, bytes and frame; the backdrop and its places; masks and labels; fields.
        once = pixels * (12 + 3 + 12 + 12 + 1 + 4 * self.most + 8) + cells * 4 * (3 + 2 + 9 * (self.most + 1))
        held = (self.batch - 1) * 3 * pixels * 4 + once + min(self.window, frames) * (6 * pixels + 8 * cells)
        if self.filter is None:
            return held
        waiting = min(frames, self.filter.delay + 1)
        return held + self.filter.memory(2 * cells, frames) + waiting * (6 * pixels + 72)

    def describe(self) -> str:
        """One line for the user; after the first frames with the layers that were found."""
        called = getattr(self.flow, "__name__", type(self.flow).__name__)
        line = f"{self.name}, {self.mode}, factor {self.factor:g}, {called} and {self.steps} refinements"
        line += f", {self._told or f'registration {self.registration}'}, on {self.device}"
        return line if self.filter is None else f"{line}; {self.filter.describe()}"


def _checked_layers(layers: str | int | tuple[float, float]) -> Layers | int | tuple[float, float]:
    if isinstance(layers, tuple) and len(layers) == 2:
        return layers
    if isinstance(layers, int) and not isinstance(layers, bool) and layers >= 0:
        return layers
    for name in ("moving", "most", "all"):
        if layers == name:
            return name
    raise InputError(
        f"layers must be moving, most, all, a number from 0 (the background) or a point x,y, got {layers!r}"
    )


def _words(camera: Model | None, strength: tuple[float, ...], background: bool, chosen: list[int]) -> str:
    """Describe the layers to the user."""
    found = ", ".join(f"{number}: {px:.2g} px" for number, px in enumerate(strength) if number)
    scene = "a background" if background else "no background"
    moved = "none" if not chosen else ", ".join(map(str, chosen))
    return f"camera {camera or 'still'}, {scene} and layers ({found}), moved: {moved}"
