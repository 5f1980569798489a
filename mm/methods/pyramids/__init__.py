"""Image pyramids, as mathematics: no time and no magnification in here, only images and their parts.

Public: :mod:`mm.methods.pyramids.laplacian` (functions) and :class:`SteerablePyramid`.
"""

from mm.methods.pyramids.steerable import SteerablePyramid, Subband

__all__ = ["SteerablePyramid", "Subband"]
