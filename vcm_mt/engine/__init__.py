"""What the mmengine Runner needs beside the model: optimisers and hooks."""

from vcm_mt.engine.distributed import VCMDistributedDataParallel
from vcm_mt.engine.hooks import EntropyTablesHook, FrozenHook, IterationSeedHook
from vcm_mt.engine.optim import CodecOptimWrapperConstructor
from vcm_mt.engine.picture_strip import PictureStripHook
from vcm_mt.engine.rate_target import RateTargetHook

__all__ = [
    "CodecOptimWrapperConstructor",
    "EntropyTablesHook",
    "FrozenHook",
    "IterationSeedHook",
    "PictureStripHook",
    "RateTargetHook",
    "VCMDistributedDataParallel",
]
