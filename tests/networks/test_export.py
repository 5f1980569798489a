"""Exported graphs, run by another program, are the network at any size and factor."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from mm.cli import main
from mm.errors import InputError
from mm.networks import MagnificationNetwork, NetworkConfig
from mm.networks.export import export
from mm.networks.weights import save

TINY = NetworkConfig(
    stem_channels=2, channels=2, encoder_blocks=1, texture_blocks=1, shape_blocks=1, decoder_blocks=1
)


@pytest.fixture
def network() -> MagnificationNetwork:
    torch.manual_seed(0)
    return MagnificationNetwork(TINY).eval()


@pytest.mark.slow
def test_onnx_runtime_gives_what_torch_gives(network: MagnificationNetwork, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(network, tmp_path / "own.onnx", "onnx")
    options = {"providers": ["CPUExecutionProvider"]}
    names = [str(tmp_path / f"own{part}.onnx") for part in ("", "_encode", "_draw")]
    pair, encode, draw = (ort.InferenceSession(name, **options) for name in names)
    generator = torch.Generator().manual_seed(1)
    for height, width, factor in ((64, 96, 3.0), (48, 80, 30.0), (128, 48, 0.0)):
        a, b = torch.rand(2, 1, 3, height, width, generator=generator)
        expected = network.magnify_pair(a, b, factor).numpy()
        gain = np.array([factor], np.float32)
        done = pair.run(None, {"reference": a.numpy(), "frame": b.numpy(), "factor": gain})[0]
        assert np.abs(done - expected).max() < 1e-4
        _, reference_shape = encode.run(None, {"frame": a.numpy()})
        texture, shape = encode.run(None, {"frame": b.numpy()})
        given = {"texture": texture, "reference_shape": reference_shape, "shape": shape, "factor": gain}
        drawn = draw.run(None, given)[0]
        assert np.abs(drawn - expected).max() < 1e-4


def test_the_suffix_is_that_of_the_format(
    network: MagnificationNetwork, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=r"\.pt2"):
        export(network, tmp_path / "own.onnx", "torch")
    save(network, tmp_path / "own.safetensors", {})
    arguments = ["export", str(tmp_path / "own.safetensors"), str(tmp_path / "own.pt"), "--format", "onnx"]
    assert main(arguments) == 2
    assert ".onnx" in capsys.readouterr().err
