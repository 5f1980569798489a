from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from mm.data import FolderOfPhotographs, ImageBank, ImageCache, ProceduralPhotographs
from mm.errors import InputError


def draws(bank: ImageBank, count: int) -> list[np.ndarray]:
    return [bank.draw(np.random.default_rng(seed)) for seed in range(count)]


def test_cached_equals_uncached(photographs: Path) -> None:
    source = FolderOfPhotographs([str(photographs)])
    plain, cache = ImageBank(source), ImageCache(limit=200_000)
    cached = ImageBank(source, cache=cache)
    for _ in range(2):
        for one, other in zip(draws(plain, 40), draws(cached, 40), strict=True):
            np.testing.assert_array_equal(one, other)
    assert 150_000 < cache.used <= 200_000


def test_cached_images_are_not_decoded_again(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = FolderOfPhotographs([str(photographs)])
    bank = ImageBank(source, cache=ImageCache(limit=10**8))
    first = draws(bank, 200)
    monkeypatch.setattr(source, "load", lambda index: pytest.fail(f"image {index} decoded again"))
    for one, other in zip(first, draws(bank, 200), strict=True):
        np.testing.assert_array_equal(one, other)


def test_banks_that_share_a_cache_do_not_mix_their_images() -> None:
    cache = ImageCache(limit=10**8)
    first = ImageBank(ProceduralPhotographs(count=3, size=32, seed=1), cache=cache)
    second = ImageBank(ProceduralPhotographs(count=3, size=32, seed=2), cache=cache)
    assert not np.array_equal(draws(first, 1)[0], draws(second, 1)[0])


def test_a_broken_image_is_named_once_skipped_and_counted(photographs: Path, tmp_path: Path) -> None:
    shutil.copytree(photographs, tmp_path, dirs_exist_ok=True)
    (tmp_path / "p01.jpg").write_bytes(b"broken")
    (tmp_path / "p02.jpg").write_bytes((tmp_path / "p02.jpg").read_bytes()[:300])
    bank = ImageBank(FolderOfPhotographs([str(tmp_path)]))
    with pytest.warns(UserWarning, match="skipped") as caught:
        first = draws(bank, 150)
    said = sorted(str(warning.message) for warning in caught)
    assert len(said) == 2
    assert "p01.jpg" in said[0]
    assert "p02.jpg" in said[1]
    assert bank.broken == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = draws(bank, 150)
    # Which image is drawn in its place depends on the generator alone.
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_tiny_images_are_skipped(tmp_path: Path, photographs: Path) -> None:
    from PIL import Image

    shutil.copy(photographs / "p01.jpg", tmp_path)
    Image.new("RGB", (40, 3)).save(tmp_path / "thin.png")
    bank = ImageBank(FolderOfPhotographs([str(tmp_path)]))
    with pytest.warns(UserWarning, match="40×3 px, at least 16"):
        draws(bank, 20)


def test_a_folder_of_broken_images_is_an_error(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.jpg").write_bytes(b"broken")
    bank = ImageBank(FolderOfPhotographs([str(tmp_path)]))
    with (
        pytest.warns(UserWarning, match="cannot be decoded") as caught,
        pytest.raises(InputError, match="none of 100 photographs drawn from the 30 of FolderOfPhotographs"),
    ):
        draws(bank, 1)
    assert bank.broken > 20
    assert len(caught) == 10
    assert str(caught[-1].message).endswith("; no more are told")


def test_a_source_that_breaks_its_contract_is_an_error() -> None:
    class Grey(ProceduralPhotographs):
        def load(self, index: int) -> np.ndarray:
            return super().load(index)[..., 0]

    with pytest.raises(InputError, match=r"must be uint8 \(H, W, 3\), got uint8 \(32, 32\)"):
        draws(ImageBank(Grey(count=3, size=32)), 1)
