"""Clips in and out, a few frames at a time: reading, writing, colour and bit depth, x–t slices.

Public: :func:`open_clip`, :func:`read_clip`, :class:`VideoClip`, :class:`ImageFolder`, :class:`ClipInfo`,
:class:`Chunk`, :func:`create_clip`, :func:`write_clip`, :class:`VideoWriter`, :class:`FolderWriter`,
:func:`check_output`, :class:`Colour`, :func:`slice_clip`, :class:`Slice`.
"""

from mm.video.colour import Colour
from mm.video.images import ImageFolder
from mm.video.info import Chunk, ClipInfo
from mm.video.reader import VideoClip, open_clip, read_clip
from mm.video.slices import Slice, slice_clip
from mm.video.writer import FolderWriter, VideoWriter, check_output, create_clip, write_clip

__all__ = [
    "Chunk",
    "ClipInfo",
    "Colour",
    "FolderWriter",
    "ImageFolder",
    "Slice",
    "VideoClip",
    "VideoWriter",
    "check_output",
    "create_clip",
    "open_clip",
    "read_clip",
    "slice_clip",
    "write_clip",
]
