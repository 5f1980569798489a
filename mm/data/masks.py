"""Objects out of photographs by masks: what image sources of segmented data sets have in common."""

from __future__ import annotations

import cv2
import numpy as np

from mm.data.decoding import UnreadableImage, crop_to_visible


def cut_out(photograph: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return an object cut out of a photograph.

    Args:
        photograph: uint8 RGB (H, W, 3).
        alpha: uint8 (H, W), 255 where the object is.

    Returns:
        uint8 straight-alpha RGBA (h, w, 4), cropped to what is visible.

    Raises:
        UnreadableImage: if the two differ in size, or nothing is visible.
    """
    if photograph.shape[:2] != alpha.shape:
        raise UnreadableImage(
            f"the photograph is {photograph.shape[1]}×{photograph.shape[0]} px, "
            f"its mask {alpha.shape[1]}×{alpha.shape[0]}"
        )
    cropped = crop_to_visible(np.dstack((photograph, alpha)))
    if cropped is None:
        raise UnreadableImage("the mask is empty")
    return cropped


def feather(inside: np.ndarray, outside: np.ndarray, width: float = 1.5) -> np.ndarray:
    """Return an alpha channel with a soft edge, from where an object surely is and where it surely is not.

    In the undecided band between them the edge runs where both are equally far.

    Args:
        inside: bool (H, W), the object.
        outside: bool (H, W), anything else; what is in neither is undecided.
        width: of the soft edge, px. With no undecided band it is centred on the edge and one of its halves
            falls on either side.

    Returns:
        uint8 (H, W).
    """
    to_inside = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    to_outside = cv2.distanceTransform((~outside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    if not outside.any():
        to_outside = np.full_like(to_inside, np.inf)
    # Positive inside: half the difference is the distance to the line that is equally far from both.
    depth = (to_outside - to_inside) / 2
    return np.rint(np.clip(0.5 + depth / width, 0, 1) * 255).astype(np.uint8)
