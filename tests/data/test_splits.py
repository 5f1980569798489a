from __future__ import annotations

import numpy as np
import pytest

from mm.data import ImageSource, Split
from mm.data.splits import split_indices
from mm.errors import InputError


class Names(ImageSource):
    def __init__(self, names: list[str]) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int) -> np.ndarray:
        return np.zeros((32, 32, 3), np.uint8)

    def identity(self, index: int) -> str:
        return self.names[index]


def test_no_photograph_is_in_two_stages_and_none_is_lost() -> None:
    # Three images of each photograph, as objects cut from it are.
    source = Names([f"photo{number // 3}" for number in range(3000)])
    parts = split_indices(source, Split(0.8, 0.1, 0.1))
    photographs = {stage: {source.names[i] for i in indices} for stage, indices in parts.items()}
    assert sum(map(len, photographs.values())) == 1000
    assert len(set.union(*photographs.values())) == 1000
    assert sorted(np.concatenate(list(parts.values()))) == list(range(3000))
    # Shares of a thousand draws, within four standard deviations.
    assert abs(len(photographs["val"]) - 100) < 38
    assert abs(len(photographs["test"]) - 100) < 38


def test_adding_images_moves_none() -> None:
    few, many = Names([f"a{i}" for i in range(0, 400, 2)]), Names([f"a{i}" for i in range(400)])
    before, after = split_indices(few, Split()), split_indices(many, Split())
    for stage in ("train", "val", "test"):
        old = {few.names[i] for i in before[stage]}
        new = {many.names[i] for i in after[stage]}
        assert old <= new


def test_small_sources_leave_no_stage_empty() -> None:
    for count in range(3, 30):
        parts = split_indices(Names([f"x{i}" for i in range(count)]), Split())
        assert all(len(indices) for indices in parts.values())
    parts = split_indices(Names(["only"]), Split(train=1.0, val=0.0, test=0.0))
    assert [len(parts[stage]) for stage in ("train", "val", "test")] == [1, 0, 0]


def test_bad_splits_are_errors() -> None:
    with pytest.raises(InputError, match="sum to 1"):
        Split(train=0.9, val=0.2, test=0.1)
    with pytest.raises(InputError, match="2 different photograph"):
        split_indices(Names(["a", "b", "b"]), Split())
