from __future__ import annotations

import importlib.metadata
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser

from mm import plugins
from mm.cli import main
from mm.data import MagnificationDataModule
from mm.errors import InputError
from mm.registry import image_sources

SOURCE = '''
"""A plug-in as a user would write it."""
import numpy as np
from mm.data import ImageSource
from mm.registry import image_sources

@image_sources.register("{name}")
class Flat(ImageSource):
    def __init__(self, value: int = 128) -> None:
        self.value = value
    def __len__(self) -> int:
        return 50
    def load(self, index: int) -> np.ndarray:
        return np.full((64, 64, 3), self.value, np.uint8)
    def identity(self, index: int) -> str:
        return str(index)
'''


def write(folder: Path, stem: str, text: str | None = None) -> Path:
    """Write a plug-in."""
    file = folder / f"{stem}.py"
    file.write_text(SOURCE.format(name=stem) if text is None else text)
    return file


def test_files_and_folders_are_loaded_and_say_what_they_register(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    one = write(tmp_path, "flat_one")
    two = write(tmp_path / "folder", "flat_two")
    write(tmp_path / "folder", "_helper", "raise RuntimeError")
    found = plugins.load_plugins([one, tmp_path / "folder"])
    assert found == (
        plugins.Plugin("mm.plugins.flat_one", str(one), (("image source", "flat_one"),)),
        plugins.Plugin("mm.plugins.flat_two", str(two), (("image source", "flat_two"),)),
    )
    assert image_sources.get("flat_two")(value=7).load(0).max() == 7
    assert plugins.load_plugins([one]) == found, "nothing is loaded twice"


def test_a_failing_plugin_is_reported_in_one_line_and_stops_nothing(tmp_path: Path) -> None:
    write(tmp_path, "fails_a", "import no_such_package_at_all")
    write(tmp_path, "fails_b", "raise ValueError('two\\nlines')")
    write(tmp_path, "fails_c", "import sys; sys.exit(3)")
    write(tmp_path, "flat_three")
    with pytest.warns(UserWarning, match="failed to load") as caught:
        found = {plugin.name.rpartition(".")[2]: plugin for plugin in plugins.load_plugins([tmp_path])}
    assert len(caught) == 3
    assert found["fails_a"].error == "ModuleNotFoundError: No module named 'no_such_package_at_all'"
    assert found["fails_b"].error == "ValueError: two lines"
    assert found["fails_c"].error == "SystemExit: 3"
    assert found["flat_three"].registered == (("image source", "flat_three"),)


def test_names_that_would_collide_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write(tmp_path / "a", "flat_four")
    write(tmp_path / "b", "flat_four")
    write(tmp_path, "load_plugins")
    with pytest.warns(UserWarning, match="failed to load"):
        found = plugins.load_plugins([tmp_path, tmp_path / "a", tmp_path / "b"])
    errors = [plugin.error for plugin in found]
    assert "cannot be called 'load_plugins'" in str(errors[0])
    assert errors[1] is None
    assert "another plug-in of this name was loaded first" in str(errors[2])
    assert callable(plugins.load_plugins)


def test_a_path_that_is_wrong_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'.*nothing\.py' does not exist"):
        plugins.load_plugins([tmp_path / "nothing.py"])
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"notes\.txt' is not a \.py file"):
        plugins.load_plugins([tmp_path / "notes.txt"])


def test_the_environment_names_plugins_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = write(tmp_path, "flat_five")
    gone = tmp_path / "gone.py"
    monkeypatch.setenv(plugins.VARIABLE, os.pathsep.join(map(str, (one, gone))))
    with pytest.warns(UserWarning, match=r"gone\.py failed to load"):
        found = plugins.load_plugins()
    assert {plugin.origin: plugin.error is None for plugin in found} == {str(one): True, str(gone): False}


def test_entry_points_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package is a folder of modules beside a folder NAME.dist-info."""
    write(tmp_path, "installed_sources")
    information = tmp_path / "some_sources-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: some-sources\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[mm.plugins]\nsome = installed_sources\nbad = not_there:x\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    with pytest.warns(UserWarning, match="entry point bad of some-sources failed to load"):
        found = {plugin.name: plugin for plugin in plugins.load_plugins()}
    assert found["installed_sources"].origin == "entry point some of some-sources"
    assert found["installed_sources"].registered == (("image source", "installed_sources"),)
    assert "not_there" in str(found["not_there:x"].error)


def test_class_paths_in_yaml_reach_into_plugin_files(tmp_path: Path) -> None:
    plugins.load_plugins([write(tmp_path, "flat_six")])
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(MagnificationDataModule, "data")
    photographs: dict[str, Any]
    for photographs in (
        {"class_path": "mm.plugins.flat_six.Flat", "init_args": {"value": 9}},
        {"name": "flat_six", "arguments": {"value": 9}},
    ):
        given = {"class_path": "mm.data.MixedDataModule", "init_args": {"photographs": photographs}}
        data = parser.instantiate(parser.parse_object({"data": given})).data
        data.setup("fit")
        assert data.dataset("train").photographs.source.load(0).max() == 9


def test_a_fresh_process_can_unpickle_what_a_plugin_file_defines(tmp_path: Path) -> None:
    plugins.load_plugins([write(tmp_path, "flat_seven")])
    pickled = pickle.dumps(image_sources.get("flat_seven")(value=33))
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).load(0).max())"
    # As a spawned worker, which inherits the environment and nothing else.
    result = subprocess.run([sys.executable, "-c", code], input=pickled, capture_output=True, check=True)
    assert result.stdout.strip() == b"33"


def test_the_option_is_split_from_the_others() -> None:
    assert plugins.take_option(["--config", "a.yaml", "--plugins", "p.py", "q", "--x=1"]) == (
        ["p.py", "q"],
        ["--config", "a.yaml", "--x=1"],
    )
    assert plugins.take_option(["--plugins=p.py", "--plugins", "q"]) == (["p.py", "q"], [])
    assert plugins.take_option(["--a", "b"]) == ([], ["--a", "b"])
    with pytest.raises(InputError, match="needs at least one file or folder"):
        plugins.take_option(["--plugins", "--a"])


def test_the_command_lists_everything_with_its_origin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "flat_eight")
    write(tmp_path, "fails_d", "raise ValueError('a reason')")
    write(tmp_path, "quiet", "x = 1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["plugins", "--plugins", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()

    def line(*words: str) -> bool:
        return any(all(word in text for word in words) for text in lines)

    assert line("translation", "mm.synthesis.motion.Translation", "built in")
    assert line("procedural-photographs", "mm.data.procedural.ProceduralPhotographs", "built in")
    assert line("learned", "built in")
    assert line("flat_eight", "mm.plugins.flat_eight.Flat", str(tmp_path / "flat_eight.py"))
    assert line("quiet.py", "registers nothing")
    assert line("fails_d.py", "ValueError: a reason")


def test_the_command_refuses_a_missing_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "--plugins", "no/such/folder"]) == 2
    assert "no/such/folder' does not exist" in capsys.readouterr().err


def test_the_shipped_plugins_load(shipped: Path) -> None:
    found = plugins.load_plugins([shipped])
    assert [plugin.error for plugin in found] == [None] * len(found)
    names = {name for plugin in found for _, name in plugin.registered}
    assert names == {"coco-photographs", "coco-cutouts", "voc-cutouts", "difference"}
