from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mm.data import FolderOfCutouts, FolderOfPhotographs, NamedSource, ProceduralPhotographs
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
