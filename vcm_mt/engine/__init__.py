"""What the mmengine Runner needs beside the model: optimisers and hooks."""

from vcm_mt.engine.distributed import VCMDistributedDataParallel
from vcm_mt.engine.hooks import EntropyTablesHook, FrozenHook, IterationSeedHook, MeanInfoHook
from vcm_mt.engine.optim import CodecOptimWrapperConstructor
from vcm_mt.engine.picture_strip import PictureStripHook

__all__ = [
    "CodecOptimWrapperConstructor",
    "EntropyTablesHook",
    "FrozenHook",
    "IterationSeedHook",
    "MeanInfoHook",
    "PictureStripHook",
    "VCMDistributedDataParallel",
]
