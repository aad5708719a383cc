"""A trained codec as one small file: the transmitter and its receivers, in half precision."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from vcm_mt.apis.codec import ENDING, Receiver
from vcm_mt.apis.loading import load_training
from vcm_mt.bitstream.compact import without_integers
from vcm_mt.bitstream.entropy import Hyperprior
from vcm_mt.checkpoint import training_checkpoint
from vcm_mt.errors import ConfigError
from vcm_mt.files import write_atomically
from vcm_mt.models.latent_scale import fold_gains
from vcm_mt.models.receivers import named_receivers

#: Key of the record of packed codecs.
_PACKED = "packed"


#: What a packed codec's record keeps of its training's.
_KEPT = ("codec", "quality", "gains", "temporal")


def pack(
    source: str | Path,
    target: Path,
    files: Sequence[str | Path] = (),
    quality: int | None = None,
) -> str:
    """Write a codec's transmitter and receivers to one file.

    Kernels are rounded to half precision, and the entropy tables are built for them. So a packed
    codec is a transmitter of its own: streams of the codec that it was made of are not its streams.
    Pack first, then train receivers, or a temporal prior, on the packed file, and pack that again:
    the second time the transmitter stays as it is. With ``quality``, receivers are those of the
    codec for all rates, and become receivers of the one for this rate.

    Args:
        source: A checkpoint of stage 1, the folder of a training, or a packed codec.
        target: The file to write, ``.safetensors``.
        files: Receivers to put in, of the packed codec; with ``quality`` of ``source``.
        quality: Of a codec for several rates, the one that the packed codec is for; by default it
            keeps all of them.

    Returns:
        The transmitter's fingerprint.

    Raises:
        ConfigError: If the name of ``target`` ends differently, ``source`` is no codec or has no
            such quality, or a receiver belongs to another transmitter or has a latent adapter.
    """
    if target.suffix != ENDING:
        raise ConfigError(f"a packed codec's file must end in {ENDING}: {target} does not")
    network, known, record = load_training(source, "cpu")
    if record.get("rank") or record.get("depth"):
        raise ConfigError(f"{source} is of stage 2: give stage 1's codec, and receivers' files")
    receivers = nn.ModuleDict(known)
    parts = nn.ModuleDict({"transmitter": network, "receivers": receivers})
    if quality is None and not record.get(_PACKED) and not _is_round(network):
        _round(parts)
        network.update_tables()
    mark = network.fingerprint()
    for file in files:
        receiver = Receiver.load(file, base=training_checkpoint(Path(source)), device="cpu")
        _check(receiver, file, mark, source)
        receiver.merge()
        receivers.add_module(receiver.record["name"], receiver.synthesis)
    if quality is not None:
        fold_gains(network, [one for _, one in named_receivers(receivers)], quality)
        record = {k: v for k, v in record.items() if k != "gains"} | {"quality": quality}
    _round(parts)
    if quality is not None:
        network.update_tables()
    state = {name: _compact(name, value) for name, value in parts.state_dict().items()}
    if type(network.entropy) is Hyperprior:
        state = without_integers(state, "transmitter.entropy.")
    kept = {key: value for key, value in record.items() if key in _KEPT}
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, [save(state, {"record": json.dumps({**kept, _PACKED: True})})])
    return network.fingerprint()


def _check(receiver: Receiver, file: str | Path, mark: str, source: str | Path) -> None:
    record: dict[str, Any] = receiver.record
    if record["transmitter"] != mark:
        raise ConfigError(
            f"{file} is a receiver of another transmitter than {source}: pack the codec first, and "
            "train receivers on the packed file"
        )
    if record.get("depth"):
        raise ConfigError(f"{file} has a latent adapter, which a packed codec cannot hold")


def _is_round(network: nn.Module) -> bool:
    """Whether a transmitter's kernels are in half precision already, its temporal prior's apart.

    So they are where a prior was trained on a packed codec, whose streams are to stay the same.
    """
    own = {k: v for k, v in network.named_parameters() if not k.startswith("temporal.")}
    return all(torch.equal(value, _compact(name, value).float()) for name, value in own.items())


@torch.no_grad()
def _round(parts: nn.Module) -> None:
    for name, value in parts.named_parameters():
        value.copy_(_compact(name, value).float())


def _compact(name: str, value: Tensor) -> Tensor:
    """Half precision for kernels and matrices, the bulk of a file.

    All else stays exact: the quantiles bound the tables, and a likelihood's bound of 1e-9 would
    become zero.
    """
    value = value.detach()
    is_kernel = value.dim() > 1 and value.is_floating_point() and not name.endswith("quantiles")
    return (value.half() if is_kernel else value).contiguous()
