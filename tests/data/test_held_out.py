"""The fixed list of evaluation images: known by content, left out of training, counted by measurements."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mm.data import MixedDataModule, Split
from mm.data import held_out as room
from mm.data.held_out import held_out
from mm.data.procedural import ProceduralPhotographs
from mm.data.sources import FolderOfPhotographs, ImageSource
from mm.errors import InputError
from mm.synthesis import Synthesizer


@pytest.fixture
def listed(photographs: Path, monkeypatch: pytest.MonkeyPatch):
    """Put the photographs of these numbers on the list."""
    source = FolderOfPhotographs([str(photographs)])

    def put(numbers: list[int]) -> list[Path]:
        import hashlib

        found: dict[int, set[str]] = {}
        for number in numbers:
            data = source.files[number].read_bytes()
            found.setdefault(len(data), set()).add(hashlib.blake2b(data, digest_size=16).hexdigest())
        monkeypatch.setattr(room, "_listed", lambda: {k: frozenset(v) for k, v in found.items()})
        return [source.files[number] for number in numbers]

    return put


def data(photographs: Path, **options) -> MixedDataModule:
    return MixedDataModule([str(photographs)], synthesizer=Synthesizer(40, 40), num_workers=0, **options)


def test_a_file_is_known_by_its_content(photographs: Path, listed, tmp_path: Path):
    files = listed([3, 7])
    shutil.copytree(photographs, tmp_path / "copy")
    (tmp_path / "copy" / files[0].relative_to(photographs)).rename(tmp_path / "copy" / "a-first-name.jpg")
    source = FolderOfPhotographs([str(tmp_path / "copy")])
    names = {source.files[index].name for index in held_out(source)}
    assert names == {"a-first-name.jpg", files[1].name}


def test_training_leaves_them_out_and_says_so(photographs: Path, listed):
    files = {path.name for path in listed([0, 5, 9])}
    module = data(photographs)
    with pytest.warns(UserWarning, match="3 of 24 photographs are on the list"):
        module.setup()
    used = set()
    for bank, _ in module._banks.values():
        used |= {bank.source.file(index).name for index in bank.indices}
    assert len(used) == 21
    assert not used & files


def test_a_training_on_nothing_else_is_refused(photographs: Path, listed):
    listed(list(range(24)))
    module = data(photographs, split=Split(train=0.9, val=0.1, test=0.0))
    with (
        pytest.warns(UserWarning, match="24 of 24"),
        pytest.raises(InputError, match="which no training may"),
    ):
        module.setup()


class Numbered(ImageSource):
    """Images of COCO's photographs, none of them a file of its own, as objects in them are."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def load(self, index: int) -> np.ndarray:
        raise NotImplementedError

    def identity(self, index: int) -> str:
        return f"coco-{self.numbers[index]}"


def test_an_image_is_known_by_the_photograph_that_a_listed_cutout_is_cut_from():
    # The shipped list has three cut-outs of photograph 5001; 500 and 50010 are others.
    assert held_out(Numbered([9, 5001, 500, 50010, 5001, 10764])).tolist() == [1, 4, 5]
    # Its 100 cut-outs are of 80 photographs.
    assert len(room._photographs()) == 80
    assert held_out(Numbered([int(name.removeprefix("coco-")) for name in room._photographs()])).size == 80


def test_procedural_images_of_the_measurements_seed_are_listed_and_others_not():
    assert held_out(ProceduralPhotographs(size=64)).size == 0
    assert held_out(ProceduralPhotographs(count=7, size=64, seed=room.PROCEDURAL_SEED)).size == 7
    assert held_out(ProceduralPhotographs(count=7, size=64, seed=10 * room.PROCEDURAL_SEED)).size == 0


def test_the_shipped_list_can_be_read():
    sizes = room._listed()
    assert sum(len(digests) for digests in sizes.values()) == 176
    assert all(len(digest) == 32 for digests in sizes.values() for digest in digests)


def test_the_list_is_the_evaluation_material_and_no_training_material_is_on_it(material: Path):
    folder = material / "data"
    for name, count in (("backgrounds", 76), ("foregrounds", 100)):
        assert len(held_out(FolderOfPhotographs([str(folder / "evaluation" / name)]))) == count
        assert np.array_equal(held_out(FolderOfPhotographs([str(folder / name)])), [])
