"""The 2018 release in our network: the authors' arrays in, their output out."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import mm
from mm.errors import InputError
from mm.networks import MagnificationNetwork, NetworkConfig
from mm.networks.released import released_names


def arrays() -> dict[str, np.ndarray]:
    """An archive as the release's, with other numbers."""
    state = MagnificationNetwork(NetworkConfig.release2018()).state_dict()
    return {theirs: state[ours].permute(2, 3, 1, 0).numpy() for theirs, ours in released_names().items()}


@pytest.fixture(scope="module")
def reference(material: Path) -> tuple[Tensor, Tensor, float, Tensor]:
    with np.load(material / "anchors" / "oh2018_reference.npz") as archive:
        a, b = (torch.from_numpy(archive[name]).permute(2, 0, 1)[None] / 255 for name in ("a", "b"))
        return a, b, float(archive["factor"]), torch.from_numpy(archive["y"])[None]


@pytest.fixture(scope="module")
def release(material: Path) -> MagnificationNetwork:
    return mm.load(material / "anchors" / "oh2018_release.npz")


@pytest.mark.material
def test_gives_the_reference_output(
    release: MagnificationNetwork, reference: tuple[Tensor, Tensor, float, Tensor]
) -> None:
    a, b, factor, y = reference
    assert (release.magnify_pair(a, b, factor) - y).abs().max() < 1e-3
    # The reference is no frame that one could get without magnifying.
    assert (b - y).abs().max() > 0.1


@pytest.mark.material
@pytest.mark.parametrize(
    "change",
    [{"strided_padding": "symmetric"}, {"padding": "zeros"}, {"input_range": "unit"}, {"anchor": "a"}],
)
def test_each_of_its_differences_matters(
    release: MagnificationNetwork, reference: tuple[Tensor, Tensor, float, Tensor], change: dict[str, str]
) -> None:
    a, b, factor, y = reference
    other = MagnificationNetwork(replace(release.config, **change)).eval()  # type: ignore[arg-type]
    other.load_state_dict(release.state_dict())
    assert (other.magnify_pair(a, b, factor) - y).abs().max() > 1e-3


@pytest.mark.material
def test_an_odd_crop_has_no_seam(
    release: MagnificationNetwork, reference: tuple[Tensor, Tensor, float, Tensor]
) -> None:
    """A trained network on a frame short of 3 rows and 1 column: hardly a difference at the cut."""
    a, b, factor, y = reference
    part = release.magnify_pair(a[..., :125, :159], b[..., :125, :159], factor)
    difference = (part - y[..., :125, :159]).square().mean((0, 1)).sqrt()
    assert difference[:-40, :-40].max() < 2 / 255
    assert difference[-8:, :-8].mean() < 4 / 255
    assert difference[:-8, -8:].mean() < 4 / 255


@pytest.mark.material
def test_its_count_and_config(release: MagnificationNetwork) -> None:
    assert sum(parameter.numel() for parameter in release.parameters()) == 918_928
    assert asdict(release.config) == asdict(NetworkConfig.release2018())


def test_kernels_are_transposed(tmp_path: Path) -> None:
    kernels = arrays()
    np.savez(tmp_path / "a.npz", **kernels, **{"Variable": np.int32(1)})
    loaded = mm.load(tmp_path / "a.npz").encoder.conv1.weight
    theirs = kernels["ynet_3frames__encoder__enc_conv1_c__Conv__weights"]
    assert loaded[5, 2, 1, 6].item() == theirs[1, 6, 2, 5]


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    kernels = arrays()
    name = "ynet_3frames__decoder__pred_conv__Conv__weights"
    del kernels[name]
    np.savez(tmp_path / "a.npz", **kernels)
    with pytest.raises(InputError, match=name):
        mm.load(tmp_path / "a.npz")


def test_another_shape_is_named(tmp_path: Path) -> None:
    kernels = arrays()
    name = "ynet_3frames__manipulator__mani_conv0c__Conv__weights"
    kernels[name] = kernels[name][:3, :3]
    np.savez(tmp_path / "a.npz", **kernels)
    with pytest.raises(InputError, match=rf"{name}.* is \(3, 3, 32, 32\).*expected \(7, 7, 32, 32\)"):
        mm.load(tmp_path / "a.npz")


def test_an_archive_of_objects_is_refused(tmp_path: Path) -> None:
    kernels: dict[str, np.ndarray] = arrays()
    name = next(iter(kernels))
    kernels[name] = np.array([{"an": "object"}], dtype=object)
    np.savez(tmp_path / "a.npz", **kernels)
    with pytest.raises(InputError, match=r"a\.npz"):
        mm.load(tmp_path / "a.npz")
