"""Layers → frames: move each layer, composite front over back, anti-alias, decimate.

Everything is rendered on a grid ``supersampling`` times as fine as the frame, each layer straight from its
source pixels by one interpolation, in every frame (the reference too, which has a random sub-pixel phase of
its own: if only the moved frames were interpolated, their blur would give the motion away).

An object is rendered only in a window round it, whose place follows the object; the windows of all objects of
all samples are one batch. Compositing needs, at each window pixel, the light that the objects in front let
through: one canvas a sample is gone over from the front object to the last, each of which reads its window of
it and dims it; then the weighted colours of all are added on the canvas.

Frames are rendered one after the other, which bounds the memory; they share the layers' coefficients.

Coordinates are px of the output frame, (x, y), 0 the centre of the first pixel. The material point X of a
layer is at X + gain · u(X) in a frame, u its displacement field. A rolling shutter reads each row at its own
time: the gain then depends on the row at which the material is seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from kornia.filters import get_gaussian_kernel1d
from torch import Tensor
from torch.nn.functional import conv2d

from mm.synthesis.geometry import Geometry
from mm.synthesis.motion import MotionGenerator
from mm.synthesis.resampling import prefilter_matrix, resample_field, resample_separable, resampling_matrix

# Where the Gaussian is cut off, in standard deviations: what is left out weighs 1e-3.
_GAUSSIAN_REACH = 3.3
# How much of a displacement the inversion of a field may leave.
_INVERSION_ERROR = 3e-4
# Output px between the nodes at which a field is solved, and how many nodes lie past each end of a layer.
_LATTICE_SPACING = 2
_LATTICE_BORDER = 4

# Rows (L, n) of the frame, px -> gain of each of L layers there: (L, n, A), or (L, 1, A) if rows are alike.
# A is 1 for the generators of mm.synthesis.motion.
Gain = Callable[[Tensor], Tensor]


@dataclass
class Layers:
    """The layers of a batch and how each moves. B samples, K objects.

    Attributes:
        background: (B, 3, Hb, Wb) float32 in [0, 1].
        objects: (B, K, 4, P, P) float32 premultiplied RGBA.
        centres: (B, K, 2) where the objects' centres are in the reference frame.
        phase: (B, 2) by how much the background is shifted in all frames.
        background_motion: (B, P) parameters and (B,) amplitude.
        object_motion: (B, K, P) parameters and (B, K) amplitudes.
        background_blur: None, or (B,) standard deviation in px of a Gaussian that blurs the background first.
    """

    background: Tensor
    objects: Tensor
    centres: Tensor
    phase: Tensor
    background_motion: tuple[Tensor, Tensor]
    object_motion: tuple[Tensor, Tensor]
    background_blur: Tensor | None = None

    def trimmed(self) -> Layers:
        """Return the same without the patches at the end that are empty in all samples.

        On a GPU all stay: looking would stop the pipeline.
        """
        if self.objects.device.type != "cpu":
            return self
        seen = self.objects[:, :, 3].amax(dim=(0, 2, 3)).nonzero()
        count = int(seen[-1]) + 1 if len(seen) else 0
        parameters, amplitude = self.object_motion
        return replace(
            self,
            objects=self.objects[:, :count],
            centres=self.centres[:, :count],
            object_motion=(parameters[:, :count], amplitude[:, :count]),
        )


class Renderer:
    """Renders a batch of layers at given gains.

    Args:
        geometry: the sizes.
        generator: the motion.
        kernel: interpolation, one of :data:`mm.synthesis.resampling.KERNELS`.
        supersampling: fine pixels per output pixel along each axis.
        max_antialias: largest standard deviation of the anti-aliasing Gaussian, output px.
        max_gradient: steepest displacement that a layer may have, px per px.
        fast_translation: whether translations take the separable path (the same numbers, faster). It cannot
            show a gain that depends on the row.
        skew: farthest, px, that a rolling shutter shifts rows of one object against its middle row.
    """

    def __init__(
        self,
        geometry: Geometry,
        generator: MotionGenerator,
        kernel: str = "bspline",
        supersampling: int = 2,
        max_antialias: float = 1.0,
        max_gradient: float = 0.25,
        fast_translation: bool = True,
        skew: float = 0.0,
    ) -> None:
        self.geometry = geometry
        self.generator = generator
        self.kernel = kernel
        self.scale = supersampling
        self.separable = generator.is_translation and fast_translation
        self.apron = math.ceil(_GAUSSIAN_REACH * max_antialias * supersampling)
        # A layer of half-diagonal r deforms by at most max_gradient · r about its centre.
        half = geometry.object_size / 2
        deformation = 0.0 if generator.is_translation else max_gradient * half * math.sqrt(2.0)
        self.window = 2 * math.ceil(supersampling * (half + deformation + skew + 1.0))
        self.canvas = (
            supersampling * (geometry.height - 1) + 1 + 2 * self.apron,
            supersampling * (geometry.width - 1) + 1 + 2 * self.apron,
        )
        # Each step of the fixed-point iteration that inverts a field shrinks the error by the field's
        # gradient.
        self.inversion_steps = math.ceil(math.log(_INVERSION_ERROR) / math.log(max_gradient))

    def render(
        self,
        layers: Layers,
        gains: Tensor,
        antialias: Tensor,
        coefficients: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Render frames.

        Args:
            layers: what is seen, and how it moves.
            gains: (B, F) of each sample's frames: 0 for the reference, 1 for the moved, factor for the
                magnified.
            antialias: (B,) standard deviation of the anti-aliasing Gaussian, output px, at most
                ``max_antialias``.
            coefficients: as :meth:`coefficients` returns them; None computes them.

        Returns:
            (B, F, 3, H, W), unclamped (the interpolation may overshoot a little at edges).
        """
        coefficients = coefficients or self.coefficients(layers)
        background, objects = layers.background_motion[1], layers.object_motion[1]
        frames = [
            self.frame(
                coefficients,
                layers,
                same_in_all_rows(background * gain),
                same_in_all_rows((objects * gain[:, None]).flatten()),
                antialias,
            )
            for gain in gains.unbind(1)
        ]
        return torch.stack(frames, dim=1)

    def frame(
        self,
        coefficients: tuple[Tensor, Tensor],
        layers: Layers,
        background: Gain,
        objects: Gain,
        antialias: Tensor,
    ) -> Tensor:
        """Render one frame (B, 3, H, W), unclamped.

        Args:
            coefficients: as :meth:`coefficients` returns them; all frames of the layers share them.
            layers: what is seen. Their amplitudes are not used: the gains are to hold them.
            background: gain of the background, for L = B layers.
            objects: gain of the objects, for L = B·K layers.
            antialias: (B,) standard deviation of the anti-aliasing Gaussian, output px.
        """
        canvas = self._background(coefficients[0], layers, background)
        if layers.objects.shape[1]:
            canvas = self._composite(canvas, coefficients[1], layers, objects)
        return self._decimate(canvas, antialias)

    def coefficients(self, layers: Layers) -> tuple[Tensor, Tensor]:
        """Return what the kernel weighs: of the background (B, 3, Hb, Wb) and the objects (B·K, 4, P, P)."""
        background, sigma = layers.background, layers.background_blur
        if sigma is not None:
            # As with the empty patches, a GPU is not looked at.
            background = (blur_some if sigma.device.type == "cpu" else blur)(background, sigma)
        return self._prefiltered(background), self._prefiltered(layers.objects.flatten(0, 1))

    def _prefiltered(self, images: Tensor) -> Tensor:
        rows, columns = (prefilter_matrix(size, self.kernel, images.device) for size in images.shape[-2:])
        return images if rows is None or columns is None else _apply_operators(images, rows, columns)

    # -- the background --------------------------------------------------------------------------------------

    def _background(self, coefficients: Tensor, layers: Layers, gain: Gain) -> Tensor:
        """Return the background (B, 3, rows, columns) on the canvas."""
        rows, columns = self._canvas_coordinates(coefficients.device)
        parameters = layers.background_motion[0]
        x_offset, y_offset = (self.geometry.margin + layers.phase)[:, :, None].unbind(1)
        if self.separable:
            shift = self._displacement_at_centre(parameters, gain(self._middle(parameters)[:, 1:]))
            height, width = coefficients.shape[-2:]
            down = resampling_matrix(rows - shift[:, 1:] + y_offset, height, self.kernel, mirror=True)
            across = resampling_matrix(columns - shift[:, :1] + x_offset, width, self.kernel, mirror=True)
            return resample_separable(coefficients, down, across)
        centre = self._middle(parameters)
        lines = (rows - centre[:, 1:], columns - centre[:, :1])
        move = self._material_offset(*lines, parameters, gain, centre)
        x = move[:, 0] + (columns + x_offset)[:, None, :]
        y = move[:, 1] + (rows + y_offset)[:, :, None]
        return resample_field(coefficients, x, y, self.kernel, mirror=True)

    # -- the objects -----------------------------------------------------------------------------------------

    def _composite(self, background: Tensor, objects: Tensor, layers: Layers, gain: Gain) -> Tensor:
        """Return the canvas with the objects, (B, 3, rows + 1, columns + 1); the last of each is scrap."""
        b, channels, rows, columns = background.shape
        k = layers.objects.shape[1]
        windows, index = self._windows(objects, layers, gain)
        windows = windows.unflatten(0, (b, k))
        index = index.view(b, k, -1)
        clear = 1.0 - windows[:, :, 3].flatten(2)
        weight = torch.empty_like(clear)
        # What the objects so far let through, in double: a product of many must not drift.
        passes = torch.ones(b, (rows + 1) * (columns + 1), dtype=torch.float64, device=objects.device)
        for place, through, kept in zip(index.unbind(1), clear.unbind(1), weight.unbind(1), strict=True):
            so_far = passes.gather(-1, place)
            kept.copy_(so_far)
            passes.scatter_(-1, place, so_far.mul_(through))
        weight = weight.view(b, k, 1, self.window, self.window)
        colour = torch.empty(b, channels, k, self.window, self.window, device=objects.device)
        torch.mul(windows[:, :, :channels], weight, out=colour.transpose(1, 2))
        canvas = torch.zeros(b, channels, rows + 1, columns + 1, device=objects.device)
        behind = passes.to(torch.float32).view(b, 1, rows + 1, columns + 1)[..., :rows, :columns]
        torch.mul(background, behind, out=canvas[..., :rows, :columns])
        place = index.view(b, 1, -1).expand(-1, channels, -1)
        canvas.view(b, channels, -1).scatter_add_(-1, place, colour.view(b, channels, -1))
        return canvas

    def _windows(self, objects: Tensor, layers: Layers, gain: Gain) -> tuple[Tensor, Tensor]:
        """Render each object in its window.

        Returns:
            colours (B·K, 4, w, w), and where each window pixel (B·K, w, w) is on the canvas, row by row,
            which has a row and a column more for what is outside it.
        """
        n, patch = objects.shape[0], objects.shape[-1]
        parameters = layers.object_motion[0].reshape(n, -1)
        centre = layers.centres.reshape(n, 2)
        moved_centre = centre + self._displacement_at_centre(parameters, gain(centre[:, 1:]))
        # (N, 2, 1) fine pixel of the window's first column and row.
        origin = ((moved_centre * self.scale + self.apron).floor() - self.window // 2)[..., None]
        fine = origin + torch.arange(self.window, device=objects.device, dtype=torch.float32)
        position = (fine - self.apron) / self.scale
        to_patch = (patch - 1) / 2
        if self.separable:
            source = position - moved_centre[..., None] + to_patch
            across, down = (
                resampling_matrix(line, patch, self.kernel, mirror=False) for line in source.unbind(1)
            )
            colours = resample_separable(objects, down, across)
        else:
            x, y = (position - centre[..., None]).unbind(1)
            move = self._material_offset(y, x, parameters, gain, centre)
            x, y = move[:, 0] + x[:, None, :] + to_patch, move[:, 1] + y[:, :, None] + to_patch
            colours = resample_field(objects, x, y, self.kernel, mirror=False)
        rows, columns = self.canvas
        column, row = fine.long().unbind(1)
        column = torch.where((column >= 0) & (column < columns), column, columns)
        row = torch.where((row >= 0) & (row < rows), row, rows)
        return colours, row[:, :, None] * (columns + 1) + column[:, None, :]

    # -- motion ----------------------------------------------------------------------------------------------

    def _middle(self, like: Tensor) -> Tensor:
        """Return (L, 2): the middle of the frame, about which the background moves."""
        middle = ((self.geometry.width - 1) / 2, (self.geometry.height - 1) / 2)
        return torch.stack([torch.full_like(like[:, 0], value) for value in middle], dim=-1)

    def _displacement_at_centre(self, parameters: Tensor, gain: Tensor) -> Tensor:
        """Return (L, 2) how far each layer's centre moves, at a gain (L, 1, A)."""
        nowhere = torch.zeros(parameters.shape[0], 1, 2, device=parameters.device)
        return self.generator.displacement(nowhere, parameters, gain)[:, 0]

    def _material_offset(
        self,
        rows: Tensor,
        columns: Tensor,
        parameters: Tensor,
        gain: Gain,
        centre: Tensor,
        scale: int | None = None,
    ) -> Tensor:
        """Return X − point, X being the material that is at each grid point: X + gain · u(X) = point.

        Fields are smooth, so they are solved on a coarse lattice and brought to the grid by cubic splines: at
        the shortest wavelength of the built-in fields that is right to 1e-3 of the motion, and many times
        cheaper.

        Args:
            rows: (L, h) coordinates of the grid's rows, one fine pixel apart, relative to the layer's centre.
            columns: (L, w) of its columns.
            parameters: (L, P).
            gain: of each layer.
            centre: (L, 2) where the layer's centre is in the reference frame.
            scale: fine pixels per output pixel; the canvas's if None.

        Returns:
            (L, 2, h, w), x first.
        """
        step = _LATTICE_SPACING * (scale or self.scale)
        lattice, to_grid = [], []
        for line in (rows, columns):
            count = line.shape[1]
            matrix = _lattice_to_grid(count, step, line.device)
            nodes = torch.arange(matrix.shape[1], device=line.device, dtype=torch.float32) - _LATTICE_BORDER
            lattice.append(line[:, :1] + nodes * _LATTICE_SPACING)
            to_grid.append(matrix)
        y, x = lattice
        grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), -1)
        points = grid.flatten(1, 2)
        amount = at_points(gain(y + centre[:, 1:]), x.shape[1])
        offset = torch.zeros_like(points)
        for _ in range(1 if self.generator.is_translation else self.inversion_steps):
            offset = -self.generator.displacement(points + offset, parameters, amount)
        coarse = offset.expand_as(points).reshape(grid.shape).permute(0, 3, 1, 2)
        return to_grid[0] @ coarse @ to_grid[1].T

    # -- what is seen ----------------------------------------------------------------------------------------

    def visible(
        self,
        coefficients: tuple[Tensor, Tensor],
        layers: Layers,
        background: tuple[Gain, Gain],
        objects: tuple[Gain, Gain],
    ) -> tuple[Tensor, Tensor]:
        """Return what is visible at each pixel of a frame, and a part of its displacement.

        The visible layer is the frontmost that is more than half opaque at the pixel's centre.

        Args:
            coefficients, layers: as of :meth:`frame`.
            background: the frame's gain, and that of the part which is asked for.
            objects: likewise.

        Returns:
            uint8 (B, H, W), 0 where it is the background and k + 1 where it is object k; and (B, 2, H, W) px,
            x first.
        """
        b, k = layers.objects.shape[:2]
        size = (self.geometry.height, self.geometry.width)
        labels = torch.zeros(b, *size, dtype=torch.uint8, device=layers.objects.device)
        parameters = layers.background_motion[0]
        _, shown = self._material_motion(parameters, *background, self._middle(parameters))
        moves = layers.object_motion[0].flatten(0, 1)
        centres = layers.centres.flatten(0, 1)
        patch = layers.objects.shape[-1]
        alpha = coefficients[1][:, 3:]
        source, own = self._material_motion(moves, *objects, centres)
        x, y = (source + (patch - 1) / 2).unbind(1)
        if self.separable:
            down = resampling_matrix(y[..., 0], patch, self.kernel, mirror=False)
            across = resampling_matrix(x[..., 0, :], patch, self.kernel, mirror=False)
            opaque = resample_separable(alpha, down, across) > 0.5
        else:
            opaque = resample_field(alpha, x, y, self.kernel, mirror=False) > 0.5
        opaque, own = opaque.unflatten(0, (b, k)), own.unflatten(0, (b, k))
        for number in reversed(range(k)):
            seen = opaque[:, number]
            shown = torch.where(seen, own[:, number], shown)
            labels.masked_fill_(seen[:, 0], number + 1)
        return labels, shown.expand(b, 2, *size)

    def _material_motion(
        self, parameters: Tensor, gain: Gain, part: Gain, centre: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the material at each pixel of layers at ``gain``, and its displacement at ``part``.

        Both are (L, 2, H, W), the first relative to the layers' centres.
        """
        n = parameters.shape[0]
        height, width = self.geometry.height, self.geometry.width
        rows = torch.arange(height, device=parameters.device) - centre[:, 1:]
        columns = torch.arange(width, device=parameters.device) - centre[:, :1]
        points = torch.stack(torch.broadcast_tensors(columns[:, None, :], rows[:, :, None]), dim=1)
        if self.separable:
            where = centre[:, 1:]
            shift = self._displacement_at_centre(parameters, gain(where))
            own = self._displacement_at_centre(parameters, part(where))
            return points - shift[..., None, None], own[..., None, None].expand_as(points)
        points = points + self._material_offset(rows, columns, parameters, gain, centre, scale=1)
        amount = at_points(part(rows + centre[:, 1:]), width)
        field = self.generator.displacement(points.flatten(2).mT, parameters, amount)
        return points, field.expand(n, height * width, 2).mT.unflatten(-1, (height, width))

    # -- to the output grid ----------------------------------------------------------------------------------

    def _canvas_coordinates(self, device: torch.device) -> tuple[Tensor, Tensor]:
        rows, columns = (torch.arange(n, device=device, dtype=torch.float32) for n in self.canvas)
        return (rows - self.apron) / self.scale, (columns - self.apron) / self.scale

    def _decimate(self, canvas: Tensor, antialias: Tensor) -> Tensor:
        """Return frames (B, 3, H, W): the Gaussian is taken at output pixels only, not on all the canvas."""
        b, channels, rows, columns = canvas.shape
        n = b * channels
        kernel = get_gaussian_kernel1d(2 * self.apron + 1, antialias[:, None] * self.scale)
        # A sample has its own Gaussian, so each of its channels is a group.
        down = kernel.repeat_interleave(channels, 0)[:, None, :, None]
        lines = conv2d(canvas.reshape(1, n, rows, columns), down, stride=(self.scale, 1), groups=n)
        smooth = conv2d(lines, down.transpose(2, 3), stride=(1, self.scale), groups=n)
        # A canvas may end with scrap.
        frames = smooth[..., : self.geometry.height, : self.geometry.width]
        return frames.view(b, channels, *frames.shape[-2:])


def same_in_all_rows(gain: Tensor) -> Gain:
    """Return the gain of layers (L,) that move alike in all rows."""
    amount = gain[:, None, None]
    return lambda rows: amount


def at_points(gain: Tensor, columns: int) -> Tensor:
    """Return gains (L, n, A) of rows at the points (L, n · columns, A) of a grid, row by row."""
    if gain.shape[1] == 1:
        return gain
    return gain[:, :, None].expand(-1, -1, columns, -1).flatten(1, 2)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Return images (B, C, H, W), continued by reflection, blurred by Gaussians of sigma (B,) px."""
    height, width = images.shape[-2:]
    return _apply_operators(images, gaussian_operator(height, sigma), gaussian_operator(width, sigma))


def blur_some(images: Tensor, sigma: Tensor) -> Tensor:
    """Return what :func:`blur` does, the same bits, without the work for images whose sigma is 0.

    It looks at sigma's values, for which a GPU would have to be waited for.
    """
    blurred = sigma.nonzero()[:, 0]
    if not len(blurred):
        return images
    images = images.clone()
    images[blurred] = blur(images[blurred], sigma[blurred])
    return images


def gaussian_operator(size: int, sigma: Tensor) -> Tensor:
    """Return (B, size, size): Gaussian blurs of a mirrored line, sigma (B,) px; the identity for 0."""
    steps = torch.arange(size, device=sigma.device, dtype=torch.float32)
    width = sigma.clamp(min=1e-3)[:, None, None]
    first, second = steps[:, None], steps[None, :]
    weight = torch.zeros(sigma.shape[0], size, size, device=sigma.device)
    for mirrored in (second, -second, 2.0 * (size - 1) - second):
        weight = weight + (-0.5 * ((first - mirrored) / width) ** 2).exp()
    # Pixels on the mirrors have been counted twice.
    weight[:, :, 0] /= 2.0
    weight[:, :, -1] /= 2.0
    return weight / weight.sum(-1, keepdim=True)


@lru_cache(maxsize=64)
def _lattice_to_grid(count: int, step: int, device: torch.device) -> Tensor:
    """Return the matrix (count, nodes) from a line's values at every ``step``-th fine pixel to all of them.

    The first node is ``_LATTICE_BORDER`` steps before the line, and there are as many past its end: they keep
    the spline's mirrored ends away.
    """
    nodes = math.ceil((count - 1) / step) + 1 + 2 * _LATTICE_BORDER
    positions = torch.arange(count, dtype=torch.float32) / step + _LATTICE_BORDER
    prefilter = prefilter_matrix(nodes, "bspline", torch.device("cpu"))
    assert prefilter is not None
    return (resampling_matrix(positions, nodes, "bspline", mirror=True) @ prefilter).to(device)


def _apply_operators(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return rows · image · columnsᵀ for images (N, C, H, W) and operators (N, H, H) or (H, H)."""
    if rows.dim() == 3:
        rows, columns = rows[:, None], columns[:, None]
    return rows @ images @ columns.transpose(-1, -2)
