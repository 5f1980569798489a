"""A frame with its layers moved: what lies behind is filled in, and what lies in front covers it.

With alpha a, background B and frame I, what a layer adds to the picture is I − (1 − a)·B (premultiplied,
Porter and Duff 1984), whatever the frame shows at its soft border. Laid over B again at the same place it
gives I, so a layer that does not move leaves the frame as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mm.methods.lagrangian.cells import CELL, at, centres, pixels, to_pixels
from mm.methods.lagrangian.sampling import coefficients, inverse, sample

# px; a motion below this is none.
_NONE = 1e-4
# px; what splines and the soft border reach beyond a moved mask.
_RIM = 12
# What is in front counts as covering a pixel from this alpha on; below it the frame's own pixel is the
# background's, and from the second on the backdrop's is.
_COVERS, _HIDES = 0.05, 0.25
# An alpha below this is none: splines swing a little beyond a mask.
_FAINT = 0.004


class Moved(NamedTuple):
    """The present and the wanted place of a layer: both (2, h, w) px on cells, from the reference."""

    now: Tensor
    then: Tensor


class Backdrop:
    """The background behind the moved layers, as far as it was seen, in the reference's px.

    A pixel's first sight is kept. What was never seen mirrors what lies beyond the
    hole's border: texture that joins on, where smooth inpainting would leave a blur.

    Args:
        reference: (3, H, W) the first frame.
        cover: (H, W) in [0, 1], what is in front there.
    """

    def __init__(self, reference: Tensor, cover: Tensor) -> None:
        self.missing = cover > _COVERS
        self.colour = mirrored(reference, self.missing)

    def at(self, field: Tensor, places: Tensor) -> Tensor:
        """Its colours (3, H, W) in a frame where it has moved by ``field`` (2, h, w) on cells."""
        if float(field.abs().max()) < _NONE:
            return _cut(self.colour, places)
        return sample(coefficients(self.colour[None])[0], _along(inverse(field), places)).clamp_(0, 1)

    def see(self, frame: Tensor, cover: Tensor, field: Tensor) -> None:
        """Take from a frame what it shows for the first time.

        Args:
            frame: (3, H, W).
            cover: (H, W) what is in front in this frame.
            field: (2, h, w) px, the backdrop's motion.
        """
        rows, columns = self.missing.nonzero(as_tuple=True)
        if not len(rows):
            return
        places = torch.stack([columns, rows]).to(frame)[:, None]
        there = places + at(field, places)
        height, width = cover.shape
        x, y = there[0, 0].round().long(), there[1, 0].round().long()
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        free = inside & (cover[y.clamp(0, height - 1), x.clamp(0, width - 1)] <= _COVERS)
        if not bool(free.any()):
            return
        seen = sample(coefficients(frame[None])[0], there[:, :, free])[:, 0].clamp_(0, 1)
        self.colour[:, rows[free], columns[free]] = seen
        self.missing[rows[free], columns[free]] = False


def mirrored(image: Tensor, missing: Tensor) -> Tensor:
    """Fill each missing pixel with its mirror image at the nearest border of the hole.

    Args:
        image: (3, H, W).
        missing: (H, W) bool.

    Returns:
        (3, H, W); the image as it is if nothing or everything is missing.
    """
    hole = missing.cpu().numpy()
    if not hole.any() or hole.all():
        return image.clone()
    # Here, not above: slow to load, and needed by one method only.
    from scipy.ndimage import distance_transform_edt

    height, width = hole.shape
    nearest = distance_transform_edt(hole, return_distances=False, return_indices=True)
    rows, columns = hole.nonzero()
    border = nearest[0][hole], nearest[1][hole]
    source = 2 * border[0] - rows, 2 * border[1] - columns
    sound = (source[0] >= 0) & (source[0] < height) & (source[1] >= 0) & (source[1] < width)
    sound[sound] &= ~hole[source[0][sound], source[1][sound]]
    y, x = (np.where(sound, far, near) for far, near in zip(source, border, strict=True))
    filled = image.clone()
    filled[:, rows, columns] = image[:, torch.from_numpy(y), torch.from_numpy(x)]
    return filled


def compose(
    frame: Tensor, masks: Sequence[Tensor], moved: Sequence[Moved], backdrop: Backdrop, behind: Moved
) -> Tensor:
    """Move layers in a frame.

    Args:
        frame: (3, H, W) in [0, 1].
        masks: (H, W) alphas in the reference's px, from the hindmost layer to the foremost.
        moved: their motions.
        backdrop: what lies behind them; it learns from the frame.
        behind: its motion. Where it stays, the frame's own pixels do.

    Returns:
        (3, H, W), not clamped.
    """
    height, width = frame.shape[-2:]
    stays = float((behind.then - behind.now).abs().max()) < _NONE
    if not masks:
        return frame if stays else _carried(frame, behind)
    if stays and all(float((one.then - one.now).abs().max()) < _NONE for one in moved):
        return frame
    rows, columns = (slice(0, height), slice(0, width)) if not stays else _extent(masks, moved)
    places = pixels(height, width, frame.device)[:, rows, columns]
    part = frame[:, rows, columns]
    alphas = [_mask_at(mask, one.now, places) for mask, one in zip(masks, moved, strict=True)]
    through = torch.ones_like(part[0])
    for alpha in alphas:
        through = through * (1 - alpha)
    whole_cover = torch.zeros_like(frame[0])
    whole_cover[rows, columns] = 1 - through
    backdrop.see(frame, whole_cover, behind.now)
    hidden = ((1 - through) / _HIDES).clamp(max=1)
    background = torch.lerp(part, backdrop.at(behind.now, places), hidden)
    # The colour that all layers in front have in common: laid over each other they give the frame.
    colour = (background + (part - background) / (1 - through).clamp_min(_FAINT)).clamp_(0, 1)
    origin = places[:, :1, :1]
    out = _carried(background, behind) if not stays else background.clone()
    for alpha, one in zip(alphas, moved, strict=True):
        layer = torch.cat([alpha * colour, alpha[None]])
        source = _source(one, places) - origin
        got = sample(coefficients(layer[None])[0], source)
        out = out * (1 - got[3].clamp(0, 1)) + got[:3]
    if not stays:
        return out
    made = frame.clone()
    made[:, rows, columns] = out
    return made


def _carried(image: Tensor, moved: Moved) -> Tensor:
    """A whole image, moved as one layer."""
    places = pixels(image.shape[-2], image.shape[-1], image.device)
    return sample(coefficients(image[None])[0], _source(moved, places))


def _source(moved: Moved, places: Tensor) -> Tensor:
    """Return the places in the frame of the pixels that shall be at ``places``."""
    back = inverse(moved.then)
    rows, columns = back.shape[-2:]
    points = centres(rows * CELL, columns * CELL).to(back) + back
    return _along(back + at(moved.now, points), places)


def _along(field: Tensor, places: Tensor) -> Tensor:
    """Pixels' places (2, H, W), each moved by a field (2, h, w) on cells."""
    rows, columns = field.shape[-2:]
    return places + _cut(to_pixels(field[None], rows * CELL, columns * CELL)[0], places)


def _cut(image: Tensor, places: Tensor) -> Tensor:
    """The part of an image (…, H, W) whose pixels are ``places``, a rectangle of whole ones."""
    left, top = int(places[0, 0, 0]), int(places[1, 0, 0])
    return image[..., top : top + places.shape[1], left : left + places.shape[2]]


def _mask_at(mask: Tensor, now: Tensor, places: Tensor) -> Tensor:
    """A mask of the reference where its layer is now."""
    if float(now.abs().max()) < _NONE:
        return _cut(mask, places)
    got = sample(coefficients(mask[None, None])[0], _along(inverse(now), places))[0]
    # What the spline swings beyond an empty place is nothing.
    return torch.where(got < _FAINT, 0.0, got).clamp_(0, 1)


def _extent(masks: Sequence[Tensor], moved: Sequence[Moved]) -> tuple[slice, slice]:
    """Rows and columns that hold the layers where they are and where they shall be."""
    there = torch.stack(list(masks)).amax(0) > 0
    reach = _RIM + int(max(float(field.abs().max()) for one in moved for field in one) + 1)
    made = []
    for along in (1, 0):
        found = there.any(along).nonzero()
        made.append(slice(max(0, int(found[0]) - reach), int(found[-1]) + reach + 1))
    return made[0], made[1]
