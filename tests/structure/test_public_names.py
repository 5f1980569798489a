"""The names that users type. A change here is a change of the public contract: say so in CHANGELOG.md."""

from __future__ import annotations

import importlib

import pytest

import mm
from mm.cli.main import COMMANDS

PUBLIC = {
    "mm": {"InputError", "Stream", "__version__", "load", "magnify", "magnify_frames", "measure"},
    "mm.networks": {
        "MagnificationNetwork",
        "NetworkConfig",
        "SplattingConfig",
        "SplattingNetwork",
        "ThreePartNetwork",
        "build",
        "config_from_dict",
        "config_to_dict",
        "load",
        "save",
    },
    "mm.synthesis": {
        "SUBSETS",
        "Camera",
        "ClipSynthesizer",
        "Elastic",
        "Geometry",
        "LayerTruth",
        "Mixture",
        "MotionGenerator",
        "MotionLimits",
        "SubsetConfig",
        "Rotation",
        "SampleTruth",
        "Scaling",
        "Shear",
        "Synthesizer",
        "TrajectoryConfig",
        "Translation",
        "TravellingWave",
        "ground_truth",
        "subset_index",
    },
    "mm.temporal": {"FILTERS", "Aligned", "Band", "TemporalFilter", "from_band", "make_filter"},
    "mm.motion": {
        "BANDS",
        "LocalDisplacement",
        "gain_by_frequency",
        "local_displacement",
        "measure_displacement",
        "motion_gain",
    },
    "mm.video": {
        "Chunk",
        "ClipInfo",
        "Colour",
        "FolderWriter",
        "ImageFolder",
        "Slice",
        "VideoClip",
        "VideoWriter",
        "check_output",
        "create_clip",
        "open_clip",
        "read_clip",
        "slice_clip",
        "write_clip",
    },
    "mm.data": {
        "Augmentation",
        "BackgroundDataModule",
        "BlurredDataModule",
        "CodecStage",
        "FilteredClips",
        "FolderOfCutouts",
        "FolderOfPhotographs",
        "ImageBank",
        "ImageCache",
        "ImageSource",
        "JoinedSources",
        "LayersDataset",
        "MagnificationDataModule",
        "MixedDataModule",
        "NamedSource",
        "ObjectsDataModule",
        "ProceduralCutouts",
        "ProceduralPhotographs",
        "ProceduralTextures",
        "SharpDataModule",
        "Split",
        "StaticDataModule",
        "UnreadableImage",
        "cut_out",
        "encode_decode",
        "feather",
        "read_photograph",
    },
    "mm.training": {
        "AtomicCheckpointIO",
        "BestCheckpoint",
        "LastCheckpoint",
        "Loss",
        "MagnificationModule",
        "MuonAdam",
        "PaperLoss",
        "RunRecord",
        "SampleImages",
        "SplattingLoss",
        "Throughput",
        "WarmupCosine",
        "WeightAverage",
    },
}
PUBLIC_COMMANDS = {
    "benchmark",
    "compare",
    "demo",
    "evaluate",
    "export",
    "fit",
    "live",
    "magnify",
    "measure",
    "methods",
    "plugins",
    "presets",
    "slice",
    "spectrum",
    "studio",
    "sweep",
    "synthesize",
    "test",
    "validate",
}


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_public_names(module: str) -> None:
    names = set(importlib.import_module(module).__all__)
    assert names == PUBLIC[module]
    for name in names:
        assert getattr(importlib.import_module(module), name) is not None


def test_dir_lists_what_is_public() -> None:
    assert set(dir(mm)) == PUBLIC["mm"]


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = mm.no_such_name


def test_commands() -> None:
    assert set(COMMANDS) == PUBLIC_COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        mm_main([command, "--help"])
    assert stop.value.code == 0
    assert command in capsys.readouterr().out


def mm_main(arguments: list[str]) -> int:
    from mm.cli import main

    return main(arguments)
