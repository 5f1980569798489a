from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mm.data import (
    FolderOfCutouts,
    FolderOfPhotographs,
    JoinedSources,
    NamedSource,
    ProceduralPhotographs,
    ProceduralTextures,
)
from mm.data.sources import build_source
from mm.errors import InputError


def test_folder_of_photographs(photographs: Path) -> None:
    source = FolderOfPhotographs([str(photographs)])
    assert len(source) == 24
    assert [source.identity(i) for i in (0, 8)] == ["more/p00", "p01"]
    assert source.load(0).shape == (60, 90, 3)


def test_folder_of_cutouts(cutouts: Path) -> None:
    source = FolderOfCutouts([str(cutouts)])
    image = source.load(3)
    assert image.dtype == np.uint8
    assert image.shape[2] == 4
    assert image[0].max() > 0, "cropped to what is visible"


@pytest.mark.parametrize("source", [FolderOfPhotographs, FolderOfCutouts])
def test_missing_and_empty_folders_are_errors(source: type[FolderOfPhotographs], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'.*nowhere' does not exist"):
        source([str(tmp_path / "nowhere")])
    with pytest.raises(InputError, match="has no image in it"):
        source([str(tmp_path)])
    (tmp_path / "file.txt").touch()
    with pytest.raises(InputError, match="is a file, not a folder"):
        source([str(tmp_path / "file.txt")])
    with pytest.raises(InputError, match="no folder"):
        source([])


def test_equal_files_have_one_identity_by_content(photographs: Path, tmp_path: Path) -> None:
    shutil.copy(photographs / "p01.jpg", tmp_path / "copy.jpg")
    source = FolderOfPhotographs([str(photographs), str(tmp_path)], identify_by="content")
    identities = [source.identity(i) for i in range(len(source))]
    assert identities[-1] == identities[8]
    assert len(set(identities)) == len(source) - 1


def test_ways_to_name_a_source(photographs: Path) -> None:
    given = ProceduralPhotographs(count=5, size=32)
    assert build_source(given, FolderOfPhotographs) is given
    named = build_source(NamedSource("procedural-photographs", {"count": 7, "size": 32}), FolderOfPhotographs)
    assert (type(named), len(named)) == (ProceduralPhotographs, 7)
    assert isinstance(build_source("procedural-photographs", FolderOfPhotographs), ProceduralPhotographs)
    for folder in (str(photographs), [str(photographs)]):
        assert len(build_source(folder, FolderOfPhotographs)) == 24
    with pytest.raises(InputError, match="did you mean 'procedural-photographs'"):
        build_source(NamedSource("procedural-photograph"), FolderOfPhotographs)
    with pytest.raises(InputError, match="does not take these arguments"):
        build_source(NamedSource("procedural-photographs", {"colour": 3}), FolderOfPhotographs)
    with pytest.raises(InputError, match="neither a folder nor the name"):
        build_source("no/such/folder", FolderOfPhotographs)


def test_a_folder_goes_before_a_source_of_its_name(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # The readers' own names are none of a source's: the folders are missing.
    for name in ("photographs", "cutouts"):
        for given in (name, [name]):
            with pytest.raises(InputError, match=f"'{name}' is neither a folder nor the name"):
                build_source(given, FolderOfPhotographs)
    (tmp_path / "procedural-textures").symlink_to(photographs)
    for given in ("procedural-textures", ["procedural-textures"]):
        assert len(build_source(given, FolderOfPhotographs)) == 24


def test_folders_and_named_sources_can_be_joined(photographs: Path) -> None:
    textures = NamedSource("procedural-textures", {"count": 3, "size": 32})
    joined = build_source([str(photographs), textures, "procedural-cutouts"], FolderOfPhotographs)
    assert isinstance(joined, JoinedSources)
    assert len(joined) == 24 + 3 + 4000
    folder, procedural = FolderOfPhotographs([str(photographs)]), ProceduralTextures(count=3, size=32)
    for index, source, at in ((0, folder, 0), (23, folder, 23), (24, procedural, 0), (26, procedural, 2)):
        np.testing.assert_array_equal(joined.load(index), source.load(at))
        assert joined.identity(index) == source.identity(at)
        assert joined.file(index) == source.file(at)
    assert joined.load(27).shape[2] == 4
    with pytest.raises(IndexError, match="image 4027 of 4027"):
        joined.load(len(joined))
    assert type(build_source([textures], FolderOfPhotographs)) is ProceduralTextures
    with pytest.raises(InputError, match="did you mean 'procedural-textures'"):
        build_source([str(photographs), NamedSource("procedural-texture")], FolderOfPhotographs)
    with pytest.raises(
        InputError, match="'no/such/folder' is neither a folder nor the name of an image source"
    ):
        build_source(["no/such/folder", textures], FolderOfPhotographs)
    with pytest.raises(
        InputError, match=r"'procedural-texture' is neither .*did you mean 'procedural-textures'"
    ):
        build_source(["procedural-texture"], FolderOfPhotographs)
    with pytest.raises(InputError, match="name at least one"):
        JoinedSources([])
