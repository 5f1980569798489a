"""The work of CPU workers, from images to the layers of training samples; the Lightning data modules."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mm.data.augmentation import Augmentation
    from mm.data.bank import ImageBank
    from mm.data.cache import ImageCache
    from mm.data.codec import CodecStage, encode_decode
    from mm.data.datamodule import (
        BackgroundDataModule,
        BlurredDataModule,
        MagnificationDataModule,
        MixedDataModule,
        ObjectsDataModule,
        SharpDataModule,
        StaticDataModule,
    )
    from mm.data.dataset import LayersDataset
    from mm.data.decoding import UnreadableImage, read_photograph
    from mm.data.filtered import FilteredClips
    from mm.data.masks import cut_out, feather
    from mm.data.procedural import ProceduralCutouts, ProceduralPhotographs, ProceduralTextures
    from mm.data.sources import FolderOfCutouts, FolderOfPhotographs, ImageSource, JoinedSources, NamedSource
    from mm.data.splits import Split

# Where each name lives. They are imported when they are asked for: a plug-in with an image source must not
# pay for Lightning and albumentations, nor must `mm demo`, which wants the procedural photographs alone.
_HOMES = {
    "Augmentation": "augmentation",
    "BackgroundDataModule": "datamodule",
    "BlurredDataModule": "datamodule",
    "CodecStage": "codec",
    "FilteredClips": "filtered",
    "FolderOfCutouts": "sources",
    "FolderOfPhotographs": "sources",
    "ImageBank": "bank",
    "ImageCache": "cache",
    "ImageSource": "sources",
    "JoinedSources": "sources",
    "LayersDataset": "dataset",
    "MagnificationDataModule": "datamodule",
    "MixedDataModule": "datamodule",
    "NamedSource": "sources",
    "ObjectsDataModule": "datamodule",
    "ProceduralCutouts": "procedural",
    "ProceduralPhotographs": "procedural",
    "ProceduralTextures": "procedural",
    "SharpDataModule": "datamodule",
    "Split": "splits",
    "StaticDataModule": "datamodule",
    "UnreadableImage": "decoding",
    "cut_out": "masks",
    "encode_decode": "codec",
    "feather": "masks",
    "read_photograph": "decoding",
}

__all__ = [
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
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
