"""Weights on disk: the mini zoo, safe reading, a training's checkpoints, strict loading."""

from vcm_mt.checkpoint.discovery import find_checkpoint, list_checkpoints, training_checkpoint
from vcm_mt.checkpoint.reading import read_record, read_state_dict
from vcm_mt.checkpoint.strict import fingerprint, load_strictly, take_over
from vcm_mt.checkpoint.zoo import ZOO_PREFIX, local_path, zoo_entry, zoo_path

__all__ = [
    "ZOO_PREFIX",
    "find_checkpoint",
    "fingerprint",
    "list_checkpoints",
    "local_path",
    "load_strictly",
    "read_record",
    "read_state_dict",
    "take_over",
    "training_checkpoint",
    "zoo_path",
    "zoo_entry",
]
