"""Which methods are set side by side, and how a streaming one is measured on a pair."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.contenders import Registered, contenders
from mm.methods import LearnedMagnifier
from mm.networks import MagnificationNetwork, NetworkConfig
from mm.networks.weights import save
from mm.registry import methods

CPU = torch.device("cpu")
SMALL = NetworkConfig(stem_channels=4, channels=4, encoder_blocks=1, decoder_blocks=1)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    save(MagnificationNetwork(SMALL), path, {})
    return path


class Late:
    """A linear method that gives everything at the end."""

    def __init__(self, *, factor: float) -> None:
        self.factor = factor
        self.frames: list[Tensor] = []

    def push(self, frames: Tensor) -> Tensor:
        self.frames.append(frames)
        return frames[:0]

    def flush(self) -> Tensor:
        clip = torch.cat(self.frames)
        return (clip[:1] + self.factor * (clip - clip[:1])).clamp(0, 1)


class Greedy(Late):
    def flush(self) -> Tensor:
        return super().flush()[1:]


def pairs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    a = torch.rand(2, 3, 16, 20, generator=generator)
    return a, (a + 0.01).clamp(0, 1), torch.tensor([3.0, 10.0])


def test_a_registered_method_is_run_on_the_two_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(methods._entries, "late", Late)
    base, late = contenders(["late"], CPU)
    a, b, factor = pairs()
    assert torch.equal(base.magnify(a, b, factor), b)
    expected = (a + factor.view(-1, 1, 1, 1) * (b - a)).clamp(0, 1)
    torch.testing.assert_close(late.magnify(a, b, factor), expected)
    assert [base.name, late.name] == ["input", "late"]


def test_weights_are_a_column_and_give_what_the_method_gives(weights: Path) -> None:
    _, network = contenders([f"mine={weights}"], CPU)
    a, b, factor = pairs()
    shown = network.magnify(a, b, factor)
    streamed = Registered("learned", lambda **options: LearnedMagnifier(weights, **options), CPU)
    torch.testing.assert_close(streamed.magnify(a, b, factor), shown, atol=1e-5, rtol=1e-4)
    assert network.name == "mine"


def test_a_method_that_does_not_keep_the_clips_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(methods._entries, "greedy", Greedy)
    with pytest.raises(InputError, match="'greedy' gave 1 frames for a clip of 2"):
        contenders(["greedy"], CPU)[1].magnify(*pairs())


def test_names_that_cannot_be_used(weights: Path) -> None:
    with pytest.raises(InputError, match="no method is called 'learnt'; did you mean 'learned'"):
        contenders(["learnt"], CPU)
    with pytest.raises(InputError, match="'mine' is given twice"):
        contenders([f"mine={weights}", f"mine={weights}"], CPU)
    with pytest.raises(InputError, match="'input' is always shown"):
        contenders([f"input={weights}"], CPU)
    with pytest.raises(InputError, match=r"no weights file 'nowhere\.npz'"):
        contenders(["2018=nowhere.npz"], CPU)
    for text in ("=x.npz", "mine="):
        with pytest.raises(InputError, match="a method is NAME, or NAME=WEIGHTS"):
            contenders([text], CPU)
    with pytest.raises(InputError, match="no method is given"):
        contenders([], CPU)
