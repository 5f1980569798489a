"""What is true and what is measured: scenes with exact motion, and how a method's output compares with it.

Public: :class:`Scene`, :class:`Layer`, :func:`random_scene`, :func:`random_displacements`,
:func:`random_texture`, :func:`texture_from_image`, :func:`soft_mask`, :func:`layer`, :func:`record`;
:func:`demo_clip`, :class:`DemoClip`, :func:`measure_vibration`, :class:`VibrationReport`.

The paper's measurements are modules of their own, imported by whoever runs them: ``subpixel``, ``noise`` and
``static`` (through ``comparison``), ``gain``, ``kernels``, ``physical``, and our ``frequency``. ``protocol``
has the levels, ``scene_spec`` and ``renderers`` the scenes, ``candidates`` the methods, and ``figures`` the
pictures.
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
