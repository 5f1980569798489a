"""Scenes with exact motion, and measurements of methods against it.

Public: :class:`Scene`, :class:`Layer`, :func:`random_scene`, :func:`random_displacements`,
:func:`random_texture`, :func:`texture_from_image`, :func:`soft_mask`, :func:`layer`, :func:`record`;
:func:`demo_clip`, :class:`DemoClip`, :func:`measure_vibration`, :class:`VibrationReport`.

Each measurement is a module: ``subpixel``, ``noise``, ``static``, ``frame_gain``, ``frequency``, ``kernels``
and ``physical``. ``runner`` has the one loop, ``protocol`` the levels, ``scene_spec`` and ``renderers`` the
scenes, ``candidates`` the methods, ``tables`` and ``figures`` the results.
"""

from mm.evaluation.scenes import (
    Layer,
    Scene,
    Triplet,
    layer,
    random_displacements,
    random_scene,
    random_texture,
    record,
    soft_mask,
    texture_from_image,
)
from mm.evaluation.vibrating_clip import DemoClip, demo_clip
from mm.evaluation.vibration import VibrationReport, measure_vibration

__all__ = [
    "DemoClip",
    "Layer",
    "Scene",
    "Triplet",
    "VibrationReport",
    "demo_clip",
    "layer",
    "measure_vibration",
    "random_displacements",
    "random_scene",
    "random_texture",
    "record",
    "soft_mask",
    "texture_from_image",
]
