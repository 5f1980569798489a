"""Reads the weights that the paper's authors released in 2018 into our network.

The file is a NumPy archive of the TensorFlow checkpoint's arrays, each under its TensorFlow name with ``/``
written ``__``; kernels are (height, width, in, out).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from mm.errors import InputError
from mm.networks.config import NetworkConfig
from mm.networks.magnification import MagnificationNetwork

_PREFIX = "ynet_3frames__"
_SUFFIX = "__Conv__weights"


def _blocks(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    for index in (1, 2):
        yield f"{theirs}_c{index}", f"{ours}.conv{index}"


def released_names() -> dict[str, str]:
    """Return their array names and ours for the same kernel, in the network's order."""
    pairs = [
        ("encoder__enc_conv1_c", "encoder.conv1"),
        ("encoder__enc_conv2_c", "encoder.conv2"),
        *(pair for i in range(3) for pair in _blocks(f"encoder__encoder_resblk{i}", f"encoder.blocks.{i}")),
        ("encoder__enc_texture_conv", "encoder.texture_conv"),
        *_blocks("encoder__texture_enc", "encoder.texture_blocks.0"),
        *_blocks("encoder__texture_enc_1", "encoder.texture_blocks.1"),
        *_blocks("encoder__shape_enc", "encoder.shape_blocks.0"),
        *_blocks("encoder__shape_enc_1", "encoder.shape_blocks.1"),
        ("manipulator__mani_conv0c", "manipulator.g"),
        ("manipulator__mani_aft_conv0c", "manipulator.h_conv"),
        *_blocks("manipulator__mani_resblk0", "manipulator.h_block"),
        ("decoder__texture_upsample", "decoder.texture_conv"),
        *(pair for i in range(9) for pair in _blocks(f"decoder__decoder_resblk{i}", f"decoder.blocks.{i}")),
        ("decoder__dec_conv2_c", "decoder.conv1"),
        ("decoder__pred_conv", "decoder.conv2"),
    ]
    return {f"{_PREFIX}{theirs}{_SUFFIX}": f"{ours}.weight" for theirs, ours in pairs}


def load_released(path: Path) -> MagnificationNetwork:
    """Read the 2018 release.

    Args:
        path: the ``.npz`` file.

    Returns:
        the network of :meth:`NetworkConfig.release2018`, on the CPU.

    Raises:
        InputError: for a file that is no NumPy archive, or lacks an array, or has one of another shape.
    """
    arrays = _read(path)
    network = MagnificationNetwork(NetworkConfig.release2018())
    expected = network.state_dict()
    state: dict[str, torch.Tensor] = {}
    for theirs, ours in released_names().items():
        if theirs not in arrays:
            raise InputError(f"{path} is not the 2018 release: it has no array {theirs!r}")
        shape = tuple(expected[ours].permute(2, 3, 1, 0).shape)
        if arrays[theirs].shape != shape:
            raise InputError(
                f"{path} is not the 2018 release: {theirs!r} is {arrays[theirs].shape} "
                f"(height, width, in, out), expected {shape}"
            )
        if not np.isfinite(arrays[theirs]).all():
            raise InputError(f"{path} cannot be used: {theirs!r} holds NaN or infinite values")
        state[ours] = torch.from_numpy(arrays[theirs].astype(np.float32)).permute(3, 2, 0, 1).contiguous()
    network.load_state_dict(state)
    return network


def _read(path: Path) -> dict[str, np.ndarray]:
    # Asked before NumPy is: of a file that is no archive it says that it might be a pickle worth a try.
    if not zipfile.is_zipfile(path):
        raise InputError(
            f"{path} is not a NumPy archive (.npz) that can be read: it is cut off or something else"
        )
    try:
        # Object arrays would be unpickled, that is, executed: refused.
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if isinstance(archive[name], np.ndarray)}
    except (zipfile.BadZipFile, ValueError) as error:
        raise InputError(f"{path} is not a NumPy archive (.npz) of plain arrays: {error}") from error
