"""Saving and loading: what comes back, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import resource
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import mm
from mm.errors import InputError
from mm.networks import MagnificationNetwork, NetworkConfig, weights

Picture = Callable[..., Tensor]
SMALL = NetworkConfig(channels=8, stem_channels=4, encoder_blocks=1, decoder_blocks=1, input_range="unit")


@pytest.fixture
def small() -> MagnificationNetwork:
    torch.manual_seed(11)
    return MagnificationNetwork(SMALL).eval()


def same(one: MagnificationNetwork, other: MagnificationNetwork) -> bool:
    theirs = other.state_dict()
    return one.config == other.config and all(
        torch.equal(value, theirs[name]) for name, value in one.state_dict().items()
    )


def checkpoint(network: MagnificationNetwork, **changes: Any) -> dict[str, Any]:
    """What Lightning writes for a module that holds the network."""
    return {
        "epoch": 1,
        "global_step": 10,
        "pytorch-lightning_version": "2.6.4",
        "state_dict": {f"network.{name}": value for name, value in network.state_dict().items()},
        "hyper_parameters": {"network_config": asdict(network.config), "lr": 1e-4},
        **changes,
    }


def test_safetensors_round_trip(small: MagnificationNetwork, tmp_path: Path, picture: Picture) -> None:
    card = {"data": "waves", "samples": 12, "scores": {"sharp": {"psnr": 30.5}}}
    path = tmp_path / "mine.safetensors"
    # In channels_last, as training leaves them.
    weights.save(small.to(memory_format=torch.channels_last), path, card)  # type: ignore[call-overload]
    loaded = mm.load(path)
    assert same(loaded, small)
    assert not loaded.training
    assert loaded.card == card
    a, b = picture(16, 16), picture(16, 16, shift=1.0)
    torch.testing.assert_close(loaded.magnify_pair(a, b, 3.0), small.magnify_pair(a, b, 3.0))
    sheet = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert sheet["samples"] == 12
    assert sheet["network_config"] == asdict(SMALL)
    assert sheet["parameters"] == sum(parameter.numel() for parameter in small.parameters())
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mine.json", "mine.safetensors"]
    assert path.stat().st_mode == path.with_suffix(".json").stat().st_mode


def test_a_failed_save_leaves_the_old_file(
    small: MagnificationNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.safetensors"
    weights.save(small, path, {})
    before = path.read_bytes()

    def full(tensors: object, file: Path, metadata: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(InputError, match=r"cannot write .*mine\.safetensors: there is no room"):
        weights.save(MagnificationNetwork(SMALL), path, {})
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mine.json", "mine.safetensors"]


@pytest.mark.parametrize(
    ("name", "card", "says"),
    [
        ("a.pt", {}, "safetensors"),
        ("missing/a.safetensors", {}, "no folder"),
        ("a.safetensors", {"x": object()}, "JSON"),
    ],
)
def test_save_refuses(
    small: MagnificationNetwork, tmp_path: Path, name: str, card: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        weights.save(small, tmp_path / name, card)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_loads(small: MagnificationNetwork, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save(checkpoint(small), path)
    assert same(mm.load(str(path)), small)


def test_a_checkpoints_average_is_preferred(small: MagnificationNetwork, tmp_path: Path) -> None:
    average = MagnificationNetwork(SMALL)
    content = checkpoint(small)
    content["state_dict"] |= {f"ema.{name}": value for name, value in average.state_dict().items()}
    torch.save(content, tmp_path / "last.ckpt")
    assert same(mm.load(tmp_path / "last.ckpt"), average)


class Bomb:
    """Unpickling this creates a file: what a hostile checkpoint would do worse."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.target}'",)


@pytest.mark.parametrize("old_format", [False, True])
def test_a_strangers_pickle_is_refused(small: MagnificationNetwork, tmp_path: Path, old_format: bool) -> None:
    target, path = tmp_path / "executed", tmp_path / "gift.ckpt"
    torch.save(checkpoint(small, callbacks=Bomb(target)), path, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(InputError, match=r"gift\.ckpt is refused"):
        mm.load(path)
    assert not target.exists()
    # The bomb is live: the test would see it go off.
    torch.load(path, weights_only=False)
    assert target.exists()


def test_a_bare_pickle_is_refused(tmp_path: Path) -> None:
    target, path = tmp_path / "executed", tmp_path / "gift.ckpt"
    path.write_bytes(pickle.dumps(Bomb(target)))
    with pytest.raises(InputError, match=r"gift\.ckpt"):
        mm.load(path)
    assert not target.exists()


def test_weights_of_another_architecture(small: MagnificationNetwork, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    other = asdict(NetworkConfig(channels=16, stem_channels=4, encoder_blocks=1, decoder_blocks=1))
    torch.save(checkpoint(small, hyper_parameters={"network_config": other}), path)
    # The first tensor that differs: conv1 has the same shape in both.
    with pytest.raises(
        InputError,
        match=r"another architecture: encoder\.conv2\.weight is \(8, 4, 3, 3\), expected \(16, 4, 3, 3\)",
    ):
        mm.load(path)


def test_a_missing_and_a_surplus_tensor_are_named(small: MagnificationNetwork, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    content = checkpoint(small)
    del content["state_dict"]["network.decoder.conv1.bias"]
    torch.save(content, path)
    with pytest.raises(InputError, match=r"it has no decoder\.conv1\.bias"):
        mm.load(path)
    content = checkpoint(small)
    content["state_dict"]["network.decoder.norm"] = torch.ones(1)
    torch.save(content, path)
    with pytest.raises(InputError, match=r"the network has no decoder\.norm"):
        mm.load(path)


def test_broken_weights_are_named(small: MagnificationNetwork, tmp_path: Path) -> None:
    small.decoder.conv1.weight.data[0, 0, 0, 0] = float("nan")
    weights.save(small, tmp_path / "diverged.safetensors", {})
    with pytest.raises(InputError, match=r"decoder\.conv1\.weight holds NaN"):
        mm.load(tmp_path / "diverged.safetensors")


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt", ".npz"])
@pytest.mark.parametrize("content", [b"", b"just text\n", b"PK\x03\x04 cut off"])
def test_a_file_that_is_something_else(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"thing{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="thing"):
        mm.load(path)


def test_a_cut_off_file(small: MagnificationNetwork, tmp_path: Path) -> None:
    weights.save(small, tmp_path / "a.safetensors", {})
    torch.save(checkpoint(small), tmp_path / "a.ckpt")
    for name in ("a.safetensors", "a.ckpt"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(InputError, match=name):
            mm.load(path)


def test_foreign_files_of_the_right_format(tmp_path: Path) -> None:
    save_file({"x": torch.ones(2)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="network_config"):
        mm.load(tmp_path / "a.safetensors")
    save_file({"x": torch.ones(2)}, tmp_path / "b.safetensors", metadata={"network_config": "{"})
    with pytest.raises(InputError, match="JSON"):
        mm.load(tmp_path / "b.safetensors")
    for content in (
        [1, 2],
        {"state_dict": {}},
        {"state_dict": {}, "hyper_parameters": {"network_config": {}}},
    ):
        torch.save(content, tmp_path / "c.ckpt")
        with pytest.raises(InputError, match=r"c\.ckpt"):
            mm.load(tmp_path / "c.ckpt")


def test_a_digest_is_of_the_weights_alone(small: MagnificationNetwork, tmp_path: Path) -> None:
    own = weights.digest(small)
    assert len(own) == 64
    torch.save(checkpoint(small), tmp_path / "a.ckpt")
    weights.save(mm.load(tmp_path / "a.ckpt"), tmp_path / "a.safetensors", {"data": "anything"})
    assert weights.digest(mm.load(tmp_path / "a.ckpt")) == own
    assert weights.digest(mm.load(tmp_path / "a.safetensors")) == own
    assert weights.digest(small.to(memory_format=torch.channels_last)) == own
    with torch.no_grad():
        last = list(small.parameters())[-1].view(-1)
        last[-1] = torch.nextafter(last[-1], torch.tensor(9.0))
    assert weights.digest(small) != own


def test_names(small: MagnificationNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_SHIPPED", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no shipped weights"):
        mm.load()
    weights.save(small, tmp_path / f"{weights.DEFAULT_WEIGHTS}.safetensors", {})
    assert weights.shipped() == [weights.DEFAULT_WEIGHTS]
    assert same(mm.load(), small)
    assert same(mm.load(weights.DEFAULT_WEIGHTS), small)
    with pytest.raises(InputError, match=r"'splot'; did you mean 'splat'\? \(known: splat"):
        mm.load("splot")


def test_paths_that_are_no_weights(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no weights file .*nowhere\.safetensors"):
        mm.load(tmp_path / "nowhere.safetensors")
    (tmp_path / "folder.ckpt").mkdir()
    with pytest.raises(InputError, match="folder"):
        mm.load(tmp_path / "folder.ckpt")
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(InputError, match=r"must end in \.safetensors"):
        mm.load(tmp_path / "clip.mp4")


def test_devices(small: MagnificationNetwork, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    weights.save(small, path, {})
    with pytest.raises(InputError, match=r"cuda:99.*is not there"):
        mm.load(path, device="cuda:99")
    with pytest.raises(InputError, match="'warp'"):
        mm.load(path, device="warp")


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def encrypted(path: Path) -> None:
    """An archive whose members are said to be encrypted."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ynet_3frames__encoder__enc_conv1_c__Conv__weights.npy", b"x" * 100)
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.npy", bytes(64 << 20))


def with_config(**values: object) -> Callable[[Path], None]:
    """A safetensors file whose network is said to be another."""

    def write(path: Path) -> None:
        state = {name: value.contiguous() for name, value in MagnificationNetwork(SMALL).state_dict().items()}
        save_file(state, path, metadata={"network_config": json.dumps(asdict(SMALL) | values)})

    return write


def with_metadata(**metadata: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        state = {name: value.contiguous() for name, value in MagnificationNetwork(SMALL).state_dict().items()}
        save_file(state, path, metadata={"network_config": json.dumps(asdict(SMALL))} | metadata)

    return write


def with_kind(kind: torch.dtype) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        state = {name: value.to(kind) for name, value in MagnificationNetwork(SMALL).state_dict().items()}
        save_file(state, path, metadata={"network_config": json.dumps(asdict(SMALL))})

    return write


def with_state(state: object) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        torch.save({"state_dict": state, "hyper_parameters": {"network_config": asdict(SMALL)}}, path)

    return write


def repeated(path: Path) -> None:
    """A checkpoint of a few kilobytes whose tensors are those of 1,024 channels: one number, repeated."""
    config = NetworkConfig(stem_channels=1024, channels=1024)
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in MagnificationNetwork(config).state_dict().items()}
    state = {f"network.{name}": torch.zeros(1).expand(shape) for name, shape in shapes.items()}
    torch.save({"state_dict": state, "hyper_parameters": {"network_config": asdict(config)}}, path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.npz", encrypted),
        ("a.npz", bomb),
        ("a.ckpt", bomb),
        ("a.ckpt", repeated),
        ("a.ckpt", with_state({1: torch.ones(1)})),
        ("a.ckpt", with_state({"network.encoder.conv1.weight": 5})),
        ("a.ckpt", with_state({f"network.{name}": None for name in ("a", "b")})),
        ("a.safetensors", with_config(channels="8")),
        ("a.safetensors", with_config(channels=-1)),
        ("a.safetensors", with_config(channels=10**30)),
        ("a.safetensors", with_config(channels=1024, decoder_blocks=128, encoder_blocks=128)),
        ("a.safetensors", with_config(decoder_blocks=10**6)),
        ("a.safetensors", with_config(architecture="splatting")),
        ("a.safetensors", with_config(architecture=["splatting"])),
        ("a.safetensors", with_config(bias=None)),
        ("a.safetensors", with_metadata(network_config=deep(100_000))),
        ("a.safetensors", with_metadata(network_config="9" * 10_000)),
        ("a.safetensors", with_metadata(card=deep(100_000))),
        ("a.safetensors", with_metadata(card="[]")),
        ("a.safetensors", with_metadata(card='{"max_magnified_motion": "abc"}')),
        ("a.safetensors", with_metadata(card='{"max_magnified_motion": NaN}')),
        ("a.safetensors", with_metadata(card='{"samples_seen": [1]}')),
        ("a.safetensors", with_kind(torch.float8_e4m3fn)),
    ],
)
def test_a_hostile_file_is_one_line_and_takes_no_memory(
    name: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    write(tmp_path / name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=name) as refusal:
        mm.load(tmp_path / name)
    assert len(str(refusal.value)) < 500
    assert "\n" not in str(refusal.value)
    # In kB; the files are of some kB, or 64 kB packed.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_weights_of_half_the_bits_are_read(small: MagnificationNetwork, tmp_path: Path) -> None:
    with_kind(torch.float16)(tmp_path / "a.safetensors")
    assert all(value.dtype == torch.float32 for value in mm.load(tmp_path / "a.safetensors").parameters())


def test_weights_of_a_toy_are_said_to_be(small: MagnificationNetwork, tmp_path: Path) -> None:
    weights.save(small, tmp_path / "toy.safetensors", {"samples_seen": 12})
    with pytest.warns(UserWarning, match=r"toy\.safetensors saw 12 samples"):
        mm.load(tmp_path / "toy.safetensors")
    torch.save(checkpoint(small, training={"samples_seen": 16}), tmp_path / "toy.ckpt")
    with pytest.warns(UserWarning, match=r"toy\.ckpt saw 16 samples"):
        mm.load(tmp_path / "toy.ckpt")
