"""The two ends of a channel as a program calls them: picture -> bytes, bytes -> picture.

>>> transmitter = Transmitter.load("work_dirs/demo/stage1_det/q2")
>>> data = transmitter.encode(Image.open("street.jpg"))
>>> receiver = Receiver.load("work_dirs/demo/stage1_det/q2")
>>> array = receiver.decode(data)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from vcm_mt.apis.pictures import to_array, to_tensor
from vcm_mt.apis.system import find_checkpoint
from vcm_mt.bitstream.container import unpack
from vcm_mt.checkpoint import read_record, read_state_dict
from vcm_mt.errors import BitstreamError, ConfigError
from vcm_mt.models import receivers, transmitter
from vcm_mt.models.codec import build_codec
from vcm_mt.structures import Packet


class Transmitter:
    """Sends pictures.

    Args:
        network: theta_e, with its entropy tables.
    """

    def __init__(self, network: transmitter.Transmitter) -> None:
        self.network = network.eval()

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """From a checkpoint of a training, or its folder.

        Raises:
            ConfigError: When there is none, or it is not a training's.
        """
        return cls(_load(path)[0])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides the bits."""
        return self.network.fingerprint()

    def encode(self, picture: Any) -> bytes:
        """The bytes of a ``.vcm`` file with one picture.

        Args:
            picture: See :func:`vcm_mt.apis.pictures.to_tensor`.

        Raises:
            DataError: For what is no picture.
            BitstreamError: For a picture that is too large.
        """
        return self.encode_batch(to_tensor(picture))[0]

    def encode_batch(self, pictures: Tensor) -> list[bytes]:
        """The same for pictures of one size, float [B, 3, H, W] in [0, 1], at once."""
        device = next(self.network.parameters()).device
        return [data for data, _ in self.network.encode(pictures.to(device))]


class Receiver:
    """Receives pictures.

    Args:
        network: theta_e of the transmitter whose bytes will come.
        synthesis: theta_d.
    """

    def __init__(self, network: transmitter.Transmitter, synthesis: receivers.Receiver) -> None:
        self.network = network.eval()
        self.synthesis = synthesis.eval()

    @classmethod
    def load(cls, path: str | Path, name: str = "shared") -> Self:
        """From a checkpoint of a training, or its folder.

        Raises:
            ConfigError: When there is none, it is not a training's, or it has no such receiver.
        """
        network, found = _load(path)
        if name not in found:
            raise ConfigError(f"{path} has no receiver {name!r}, but {', '.join(found)}")
        return cls(network, found[name])

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """The picture of a ``.vcm`` file with one, uint8 [H, W, 3], RGB.

        Raises:
            BitstreamError: When the bytes are damaged, no bitstream, or of another transmitter.
        """
        return to_array(self.decode_packets([unpack(data)]))

    @torch.no_grad()
    def decode_packets(self, packets: Sequence[Packet]) -> Tensor:
        """Pictures of one size, float [B, 3, H, W] in [0, 1], as a task takes them.

        Raises:
            BitstreamError: As :meth:`decode`, or for pictures of several sizes.
        """
        sizes = {(packet.height, packet.width) for packet in packets}
        if len(sizes) != 1:
            raise BitstreamError(f"pictures of one size can be decoded at once, not {len(sizes)}")
        ((height, width),) = sizes
        return self.synthesis(self.network.decode_packets(packets))[..., :height, :width]


def _load(path: str | Path) -> tuple[transmitter.Transmitter, dict[str, receivers.Receiver]]:
    file = find_checkpoint(Path(path)) if Path(path).is_dir() else Path(path)
    record = read_record(file)
    state = read_state_dict(str(file))
    names = sorted({key.split(".")[1] for key in state if key.startswith("receivers.")})
    codec = build_codec(**record["codec"])
    network = transmitter.Transmitter(codec, record["quality"])
    found = {name: receivers.Receiver(build_codec(**record["codec"]).g_s) for name in names}
    parts = nn.ModuleDict({"transmitter": network, "receivers": nn.ModuleDict(found)})
    wanted = {k: v for k, v in state.items() if k.startswith(("transmitter.", "receivers."))}
    try:
        parts.load_state_dict(wanted)
    except RuntimeError as error:
        raise ConfigError(f"{file} does not fit the codec that it names: {error}") from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    parts.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, found
