"""Lagrangian motion: points followed through a clip, the layers that they form, and layers moved.

Public: :func:`measure` (sub-pixel motion on a grid of cells) in :mod:`refinement`, :func:`find_flow` (flow
functions) in :mod:`flows`, :func:`camera_motion` in :mod:`scene`, :func:`cluster` in
:mod:`trajectories`, :func:`find_layers` in :mod:`layers`, :class:`LayerField` in :mod:`fields`,
:func:`compose` in :mod:`compositing`. The method that joins them is :mod:`mm.methods.flow`.
"""
