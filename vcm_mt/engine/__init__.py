"""Additions to mmengine's Runner: optimisers, hooks, loops."""

from vcm_mt.engine.checkpoints import AtomicCheckpointHook
from vcm_mt.engine.distributed import VCMDistributedDataParallel
from vcm_mt.engine.finite import FiniteAmpOptimWrapper, FiniteOptimWrapper, FiniteStepsHook
from vcm_mt.engine.hooks import EntropyTablesHook, FrozenHook, IterationSeedHook, MeanInfoHook
from vcm_mt.engine.loops import SkippingTrainLoop
from vcm_mt.engine.optim import CodecOptimWrapperConstructor
from vcm_mt.engine.picture_strip import PictureStripHook
from vcm_mt.engine.precision import PrecisionHook
from vcm_mt.engine.rate_target import RateTargetHook

__all__ = [
    "AtomicCheckpointHook",
    "CodecOptimWrapperConstructor",
    "EntropyTablesHook",
    "FiniteAmpOptimWrapper",
    "FiniteOptimWrapper",
    "FiniteStepsHook",
    "FrozenHook",
    "IterationSeedHook",
    "MeanInfoHook",
    "PictureStripHook",
    "PrecisionHook",
    "RateTargetHook",
    "SkippingTrainLoop",
    "VCMDistributedDataParallel",
]
