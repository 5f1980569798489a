"""Loading and saving weights: shipped ones, safetensors, Lightning checkpoints, the 2018 release.

No code from a file is ever executed: safetensors and NumPy archives hold arrays only, and a checkpoint is
read with torch's ``weights_only``, which refuses a pickle that holds anything but tensors and plain values.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mm.errors import InputError, did_you_mean
from mm.files import replacing
from mm.networks.architectures import build, config_to_dict
from mm.networks.base import ThreePartNetwork
from mm.networks.released import load_released
from mm.runtime import choose_device

# What `load()` gives.
DEFAULT_WEIGHTS = "splat"

_SHIPPED = Path(__file__).resolve().parents[1] / "weights"
_SUFFIXES = (".safetensors", ".ckpt", ".npz")
_MOST_UNPACKED = 8  # times the size of the file
# Of a training; the shortest configuration that gives a usable network sees 88,000.
_FEW_SAMPLES = 10_000


def shipped() -> list[str]:
    """Return the names of the weights that come with the package."""
    return sorted(path.stem for path in _SHIPPED.glob("*.safetensors"))


def load(source: str | Path | None = None, device: str | torch.device = "cpu") -> ThreePartNetwork:
    """Return a network with its weights, in evaluation mode, float32.

    Args:
        source: None, the shipped default; a shipped file's name (see :func:`shipped`); or a path:
            ``.safetensors`` as :func:`save` writes it, ``.ckpt`` of this project's training (its running
            average where it holds one), or ``.npz``, the 2018 release's arrays.
        device: where to put it; "auto" is CUDA where there is any.

    Raises:
        InputError: for a name or file that is not there or cannot be read, weights of another architecture, a
            checkpoint that holds anything but tensors and plain values, a device that is not there.
    """
    target = choose_device(device)
    path = _find(source)
    readers = {".npz": load_released, ".ckpt": _load_checkpoint, ".safetensors": _load_safetensors}
    with _reading(path):
        network: ThreePartNetwork = readers[path.suffix](path)
    samples = network.card.get("samples_seen", _FEW_SAMPLES)
    if samples < _FEW_SAMPLES:
        warnings.warn(
            f"{path.name} saw {samples:,} samples in training, and results are poor below some "
            f"{_FEW_SAMPLES:,}; train longer, or leave the choice of weights out for the shipped ones",
            stacklevel=2,
        )
    return network.to(target).eval()


@contextlib.contextmanager
def _reading(path: Path, but: type[Exception] = InputError) -> Iterator[None]:
    """Refuse in one line what a damaged or hostile file makes of its reader, or would make of the memory."""
    # Inside, only zip files can be compressed; what this project writes is not.
    if zipfile.is_zipfile(path):
        _check_unpacked(path, sum(member.file_size for member in zipfile.ZipFile(path).infolist()))
    try:
        yield
    except (InputError, but):
        raise
    # Readers of three formats, which raise anything: of recursion, of missing codecs, of types.
    except Exception as error:
        said = (str(error).splitlines() or [""])[0]
        raise InputError(
            f"{path} cannot be read as weights: {type(error).__name__}: {said}; ask for another copy"
        ) from error


def _check_unpacked(path: Path, unpacked: int) -> None:
    size = path.stat().st_size
    if unpacked > _MOST_UNPACKED * size:
        raise InputError(
            f"{path} is refused: its {size:,} bytes unpack to {unpacked:,}; ask for another copy"
        )


def digest(network: ThreePartNetwork) -> str:
    """Return SHA-256, hexadecimal, over the network's tensors in the order of their names.

    It is the same on every device and in every memory format, and for a checkpoint and what is exported from
    it: a measurement holds it, so that its scores can be told to be of these weights.
    """
    found = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def save(network: ThreePartNetwork, path: str | Path, card: Mapping[str, Any]) -> None:
    """Write the weights as safetensors, and beside them ``<stem>.json``, the card for people to read.

    The configuration and the card are in the file's metadata too, so that it can be loaded alone. Both files
    are written beside their place and moved there when they are whole.

    Args:
        network: on any device, in any memory format.
        path: ends in ``.safetensors``; its folder exists.
        card: JSON-able: data, samples seen, wall time, hardware, scores, …

    Raises:
        InputError: for another ending, a folder that is missing or cannot be written to, or a card that is no
            JSON.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"weights are saved as .safetensors, got {path.name!r}")
    if not path.parent.is_dir():
        raise InputError(f"cannot save {path}: there is no folder {path.parent}")
    config = config_to_dict(network.config)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    sheet = {"name": path.stem, "parameters": parameters, "network_config": config, **card}
    try:
        text = json.dumps(sheet, indent=2, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"the card of {path.name} cannot be written as JSON: {error}") from error
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    metadata = {"format": "pt", "network_config": json.dumps(config), "card": json.dumps(dict(card))}
    try:
        with replacing(path.with_suffix(".json")) as new_card, replacing(path) as new_weights:
            save_file(tensors, new_weights, metadata=metadata)
            new_card.write_text(text + "\n", encoding="utf-8")
            # safetensors makes files that only their owner may read; others have the user's own mode.
            new_weights.chmod(new_card.stat().st_mode)
    except SafetensorError as error:
        raise InputError(
            f"cannot write {path}: {error}; name a folder that you may write to, on a disk with room"
        ) from error


def _find(source: str | Path | None) -> Path:
    name = DEFAULT_WEIGHTS if source is None else str(source)
    path = Path(name)
    if path.suffix in _SUFFIXES:
        if not path.is_file():
            raise InputError(f"no weights file {name!r}" + (": it is a folder" if path.is_dir() else ""))
        if not os.access(path, os.R_OK):
            raise InputError(f"weights file {name!r} may not be read: permission denied")
        return path
    shipped_file = _SHIPPED / f"{name}.safetensors"
    known = shipped()
    if name in known:
        return shipped_file
    if path.exists():
        raise InputError(f"{name!r} does not look like weights: its name must end in {', '.join(_SUFFIXES)}")
    if source is None and not known:
        raise InputError(
            "this copy of the package has no shipped weights; name a .safetensors, .ckpt or .npz file"
        )
    hint = did_you_mean(name, known)
    raise InputError(
        f"no weights are called {name!r}{hint} (known: {', '.join(known) or 'none'}; "
        f"or name a {', '.join(_SUFFIXES)} file)"
    )


def _load_safetensors(path: Path) -> ThreePartNetwork:
    with safe_open(path, framework="pt", device="cpu") as file:
        metadata = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    if "network_config" not in metadata:
        raise InputError(f"{path} holds no network_config in its metadata: it was not saved by this project")
    config, card = json.loads(metadata["network_config"]), json.loads(metadata.get("card", "{}"))
    network = _with_state(config, state, path)
    network.card = _checked_card(card, path)
    return network


def _checked_card(card: Any, path: Path) -> dict[str, Any]:
    """Return a card whose values that a command reckons with are numbers."""
    if not isinstance(card, dict):
        raise InputError(f"{path} has a card that is no dictionary; ask for another copy")
    for name in ("max_magnified_motion", "samples_seen"):
        value = card.get(name, 1)
        if type(value) not in (int, float) or not 0 <= value <= 1e18:
            raise InputError(f"{path}: {name} of the card must be a number of at least 0, got {value!r:.40}")
    return card


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return a training checkpoint, executing nothing that the file holds.

    Raises:
        InputError: for a file that is no checkpoint of this project's training, is cut off, or holds anything
            but tensors and plain values.
    """
    # Not a zip file: cut off, or the format before torch 1.6, a bare pickle, which is not even opened.
    if not zipfile.is_zipfile(path):
        raise InputError(
            f"{path} is refused: it is no checkpoint as torch writes it, or is cut off; nothing was executed"
        )
    try:
        with _reading(path, pickle.UnpicklingError):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is refused: it holds more than tensors and plain values, and reading it could run code; "
            "nothing was executed. Ask for a .safetensors file"
        ) from error
    hyper = checkpoint.get("hyper_parameters") if isinstance(checkpoint, dict) else None
    config = hyper.get("network_config") if isinstance(hyper, dict) else None
    if not isinstance(config, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise InputError(f"{path} is not a checkpoint of this project's training: it holds no network_config")
    return checkpoint


def _load_checkpoint(path: Path) -> ThreePartNetwork:
    checkpoint = read_checkpoint(path)
    config, state = checkpoint["hyper_parameters"]["network_config"], checkpoint["state_dict"]
    for prefix in ("ema.", "network."):
        part = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        if part:
            network = _with_state(config, part, path)
            training = checkpoint.get("training") or {}
            seen = {"samples_seen": training["samples_seen"]} if "samples_seen" in training else {}
            network.card = _checked_card(seen, path)
            return network
    raise InputError(f"{path} holds no network: none of its tensors is called network.…")


def _with_state(config: Any, state: Mapping[str, Tensor], path: Path) -> ThreePartNetwork:
    if not isinstance(config, dict):
        raise InputError(f"{path} has a network_config that is no dictionary: {config!r:.40}")
    # A tensor of a checkpoint may repeat one number.
    _check_unpacked(path, sum(value.numel() * value.element_size() for value in state.values()))
    try:
        # Without memory for its tensors, until the file is known to hold as many.
        with torch.device("meta"):
            expected = build(config).state_dict()
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    for name, tensor in expected.items():
        if name not in state:
            raise InputError(f"{path} holds weights of another architecture: it has no {name}")
        if state[name].shape != tensor.shape:
            raise InputError(
                f"{path} holds weights of another architecture: {name} is {tuple(state[name].shape)}, "
                f"expected {tuple(tensor.shape)}"
            )
        if not bool(state[name].isfinite().all()):
            raise InputError(
                f"{path} cannot be used: {name} holds NaN or infinite values; use an earlier checkpoint"
            )
    for name in state:
        if name not in expected:
            raise InputError(f"{path} holds weights of another architecture: the network has no {name}")
    network = build(config)
    network.load_state_dict(state)
    return network
