"""Encoding and decoding: picture -> bytes, bytes -> picture.

>>> transmitter = Transmitter.load("work_dirs/demo/stage1_det/q2")
>>> data = transmitter.encode(Image.open("street.jpg"))
>>> receiver = Receiver.load("work_dirs/demo/stage1_det/q2")
>>> array = receiver.decode(data)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn
from typing_extensions import Self

from vcm_mt.apis.loading import below, load_training, misfit, to_device
from vcm_mt.apis.pictures import in_range, to_array, to_tensor
from vcm_mt.bitstream.container import unpack
from vcm_mt.bitstream.context import entropy_model
from vcm_mt.bitstream.entropy import Hyperprior
from vcm_mt.bitstream.fields import FINGERPRINT_BYTES, check_size
from vcm_mt.bitstream.gains import Gains
from vcm_mt.bitstream.temporal import TemporalPrior
from vcm_mt.checkpoint import fingerprint, read_record, read_state_dict, zoo_entry
from vcm_mt.device import pick_device
from vcm_mt.errors import BitstreamError, ConfigError, DataError
from vcm_mt.files import write_atomically
from vcm_mt.models import receivers, transmitter
from vcm_mt.models.codec import build_codec
from vcm_mt.structures import Packet

if TYPE_CHECKING:
    from vcm_mt.models.refiner import Refiner  # imports mmdet, which plain coding does without

#: Ending of a receiver's file.
ENDING = ".safetensors"


class Transmitter:
    """Encodes pictures.

    Args:
        network: theta_e, with entropy tables.
        refiner: Refines the latent of each picture, which takes seconds; see
            :func:`vcm_mt.apis.refined.refining`.
    """

    def __init__(self, network: transmitter.Transmitter, refiner: Refiner | None = None) -> None:
        self.network = network.eval()
        self.refiner = refiner

    @classmethod
    def load(
        cls,
        path: str | Path,
        amp: bool | str = False,
        device: str | torch.device | None = None,
    ) -> Self:
        """Load the transmitter of a training.

        Args:
            path: A checkpoint, the folder of a training, a file of
                :func:`vcm_mt.apis.packing.pack`, or ``zoo://NAME``.
            amp: Precision of ``g_a``, see :func:`vcm_mt.models.precision.amp_dtype`.
            device: See :func:`vcm_mt.device.pick_device`.

        Raises:
            ConfigError: If there is no checkpoint of a training, or the device is not available.
        """
        network, _, _ = load_training(path, device)
        network.amp = amp
        return cls(network)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that determines the bits."""
        return self.network.fingerprint()

    @property
    def qualities(self) -> list[int]:
        """The qualities that it can encode: one, or several for a codec of variable rate."""
        return self.network.qualities

    def encode(self, picture: Any, quality: int | None = None) -> bytes:
        """Encode a picture to the bytes of a ``.vcm`` file.

        Args:
            picture: See :func:`vcm_mt.apis.pictures.to_tensor`.
            quality: One of :attr:`qualities`; by default the only one, or the middle one.

        Raises:
            DataError: If ``picture`` is not a picture.
            BitstreamError: If the picture is too large.
            ConfigError: If there is no such quality.
        """
        return self.encode_batch(to_tensor(picture), quality)[0]

    def encode_batch(self, pictures: Tensor, quality: int | None = None) -> list[bytes]:
        """Encode pictures of equal size, float [B, 3, H, W] in [0, 1]; see :meth:`encode`."""
        if pictures.dim() != 4 or pictures.shape[1] != 3 or not pictures.is_floating_point():
            shape = f"{pictures.dtype} {tuple(pictures.shape)}"
            raise DataError(f"a batch of pictures must be float [B, 3, H, W], not {shape}")
        check_size(*pictures.shape[-2:])
        device = next(self.network.parameters()).device
        y = self.latents(in_range(pictures.to(device)), quality)
        height, width = pictures.shape[-2:]
        return self.network.code(y, height, width, quality)

    def latents(self, pictures: Tensor, quality: int | None = None) -> Tensor:
        """The latents y, float [B, M, h, w], of pictures of equal size, refined if possible."""
        if self.refiner is None:
            with torch.no_grad():
                return self.network.analyse(pictures)
        return torch.cat([self.refiner(picture, quality) for picture in pictures.split(1)])


class Receiver:
    """Decodes pictures.

    Args:
        entropy: The transmitter's entropy model, or the part that a decoder needs.
        synthesis: theta_d.
        record: The record of a receiver's file, see :func:`vcm_mt.checkpoint.read_record`.
        gains: The transmitter's gains, if it has several qualities.
        prior: The transmitter's temporal prior, for sequences with predicted pictures.

    Attributes:
        mark: The first bytes of the fingerprint of the transmitter that it belongs to.
    """

    def __init__(
        self,
        entropy: Hyperprior,
        synthesis: receivers.Receiver,
        record: dict[str, Any],
        gains: Gains | None = None,
        prior: TemporalPrior | None = None,
    ) -> None:
        self.entropy = entropy.eval()
        self.gains, self.prior = gains, prior
        self.synthesis = synthesis.eval()
        self.record = record
        self.mark = bytes.fromhex(record["transmitter"])[:FINGERPRINT_BYTES]
        if len(self.mark) != FINGERPRINT_BYTES:
            raise ValueError(f"{record['transmitter']!r} is not the fingerprint of a transmitter")

    @classmethod
    def load(
        cls,
        path: str | Path,
        name: str | None = None,
        amp: bool | str = False,
        base: str | Path | None = None,
        device: str | torch.device | None = None,
    ) -> Self:
        """Load a receiver.

        Args:
            path: A checkpoint, the folder of a training, a file of :meth:`save` or of
                :func:`vcm_mt.apis.packing.pack`, or ``zoo://NAME``.
            name: Name of the receiver, if a checkpoint has several.
            amp: Precision of ``g_s``, see :func:`vcm_mt.models.precision.amp_dtype`.
            base: For the file of a LoRA receiver, the receiver that it was trained on: a
                checkpoint, folder or file.
            device: See :func:`vcm_mt.device.pick_device`.

        Raises:
            ConfigError: If there is no such receiver, a LoRA receiver is given without its base
                or with another one, or the device is not available.
        """
        (path, alias, _), device = zoo_entry(path), pick_device(device)
        if path.suffix != ENDING or "transmitter" not in (record := read_record(path)):
            receiver = cls._of_training(path, name or alias, device)
        elif "base" in record:
            receiver = cls._on_base(path, base, device)
        else:
            receiver = cls._load_file(path, device)
        receiver.synthesis.amp = amp
        return receiver

    @classmethod
    def _of_training(cls, path: Path, name: str | None, device: torch.device) -> Self:
        network, known, record = load_training(path, device)
        if not known:
            raise ConfigError(f"{path} has no receiver: give a checkpoint of stage 1 or stage 2")
        if name is None and len(known) > 1 and "shared" not in known:
            raise ConfigError(f"{path} has several receivers: name one of {', '.join(known)}")
        name = name or ("shared" if "shared" in known else next(iter(known)))
        if name not in known:
            raise ConfigError(f"{path} has no receiver {name!r}, but {', '.join(known)}")
        record |= {"name": name, "transmitter": network.fingerprint()}
        return cls(network.entropy, known[name], record, network.gains, network.temporal)

    @classmethod
    def _on_base(cls, path: Path, base: str | Path | None, device: torch.device) -> Self:
        record = read_record(path)
        if base is None:
            raise ConfigError(f"{path} is a LoRA receiver: give its base, what it was trained on")
        below = cls.load(base, device="cpu")  # the LoRA weights are read to the CPU
        if below.record["transmitter"] != record["transmitter"]:
            raise ConfigError(f"{path} and {base} are receivers of different transmitters")
        if fingerprint(below.synthesis.g_s) != record["base"]:
            raise ConfigError(f"{path} was trained on another receiver than {base}")
        synthesis = receivers.Receiver(below.synthesis.g_s, record["rank"])
        adapter = read_state_dict(str(path))
        if set(adapter) != set(synthesis.lora_state()):
            raise ConfigError(f"{path} does not fit {base}")
        synthesis.load_state_dict(adapter, strict=False)
        receiver = cls(below.entropy, synthesis, record, below.gains, below.prior)
        receiver.merge()
        to_device(receiver._parts, device)
        return receiver

    @classmethod
    def _load_file(cls, path: Path, device: torch.device) -> Self:
        record, state = read_record(path), read_state_dict(str(path))
        try:
            codec = build_codec(**record["codec"])
            entropy = entropy_model(codec)
            synthesis = receivers.Receiver(codec.g_s, depth=record.get("depth", 0))
            gains = Gains(record["gains"], codec.M) if "gains" in record else None
            if gains is not None:
                gains.load_state_dict(below("gains.", state))
            prior = None
            if "temporal" in record:
                prior = TemporalPrior(codec.M, record["temporal"])
                prior.load_decoder_state_dict(below("temporal.", state))
            entropy.load_decoder_state_dict(below("entropy.", state))
            synthesis.load_state_dict(below("synthesis.", state))
            receiver = cls(entropy, synthesis, record, gains, prior)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise misfit(path, error) from error
        to_device(receiver._parts, device)
        return receiver

    @property
    def _parts(self) -> nn.ModuleList:
        parts = (self.entropy, self.synthesis, self.gains, self.prior)
        return nn.ModuleList(part for part in parts if part is not None)

    def save(self, path: str | Path) -> None:
        """Write everything that decoding needs, and nothing that only encoding needs.

        For a LoRA receiver that is its update of the base.

        Args:
            path: A name ending in ``.safetensors``.

        Raises:
            ConfigError: If the name ends differently.
        """
        path = Path(path)
        if path.suffix != ENDING:
            raise ConfigError(f"a receiver's file must end in {ENDING}: {path} does not")
        if self.synthesis.rank:
            state = self.synthesis.lora_state()
        else:
            entropy, synthesis = self.entropy.decoder_state_dict(), self.synthesis.state_dict()
            state = {f"entropy.{key}": value for key, value in entropy.items()}
            state |= {f"synthesis.{key}": value for key, value in synthesis.items()}
            if self.gains is not None:
                state |= {f"gains.{key}": value for key, value in self.gains.state_dict().items()}
            if self.prior is not None:
                own = self.prior.decoder_state_dict()
                state |= {f"temporal.{key}": value for key, value in own.items()}
        state = {key: value.detach().cpu().contiguous() for key, value in state.items()}
        write_atomically(path, [save(state, {"record": json.dumps(self.record)})])

    def merge(self) -> None:
        """Turn a LoRA receiver into a full one, which needs no base."""
        self.synthesis.merge()
        for key in ("rank", "base"):
            self.record.pop(key, None)

    def take_prior(self, source: str | Path) -> None:
        """Take a temporal prior that was trained after this receiver.

        Args:
            source: The checkpoint of the prior's training, or a packed codec.

        Raises:
            ConfigError: If it has none, or is of another transmitter.
        """
        other = type(self).load(source)
        if other.prior is None or other.mark != self.mark:
            what = "has no temporal prior" if other.prior is None else "is of another transmitter"
            raise ConfigError(f"{source} {what}: give the training of this transmitter's prior")
        self.prior = other.prior

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Decode the bytes of a ``.vcm`` file with one picture.

        Returns:
            uint8 [H, W, 3], RGB.

        Raises:
            BitstreamError: If the bytes are damaged, not a bitstream, or of another transmitter.
        """
        return to_array(self.decode_packets([unpack(bytes(data))]))

    @torch.no_grad()
    def decode_packets(self, packets: Sequence[Packet]) -> Tensor:
        """Decode pictures of equal size.

        Returns:
            float [B, 3, H, W], RGB in [0, 1].

        Raises:
            BitstreamError: As :meth:`decode`, or if the sizes differ.
        """
        sizes = {(packet.height, packet.width) for packet in packets}
        if len(sizes) != 1:
            raise BitstreamError(
                f"only pictures of equal size can be decoded together, not of {len(sizes)} sizes"
            )
        ((height, width),) = sizes
        return self.synthesis(self.latents(packets))[..., :height, :width]

    def latents(self, packets: Sequence[Packet]) -> Tensor:
        """Decode the latents y_hat, float [B, M, h, w], of pictures of equal size.

        Raises:
            BitstreamError: If the bytes are damaged or of another transmitter.
        """
        return transmitter.decode_packets(packets, self.entropy, self.mark, self.gains)
