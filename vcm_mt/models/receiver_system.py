"""Stage 2: more receivers for the bitstream of a trained transmitter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from typing_extensions import Self

from vcm_mt.checkpoint import fingerprint, read_record, read_state_dict
from vcm_mt.errors import ConfigError
from vcm_mt.models.receivers import Receiver, named_receivers
from vcm_mt.models.sizes import by_size, true_size
from vcm_mt.models.vcm_system import VCMSystem
from vcm_mt.registry import MODELS


@MODELS.register_module()
class ReceiverSystem(VCMSystem):
    """Trains theta_d alone: theta_e, and with it every bit that is sent, stays as it is.

    The loss is equation (1) at lambda = 1: the tasks' losses behind their receivers. A receiver
    sees what it will see: the latent that real bytes decode to, each picture coded at its own
    size.

    Args:
        stage1: Checkpoint of a trained system.
        tasks: As :class:`VCMSystem` takes them; each name that they have as their ``receiver``
            becomes a receiver.
        start: The receiver of stage 1 that all start from.
        rank: Train light receivers of this rank, see :class:`Receiver`; 0 for full ones.
        depth: Train deep receivers of this depth, see there too.
        amp: What the receivers train in, see :func:`vcm_mt.models.precision.amp_dtype`.
        data_preprocessor: A :class:`VCMDataPreprocessor`'s config.

    Raises:
        ConfigError: When ``stage1`` is no such checkpoint, or has no such receiver.
    """

    def __init__(
        self,
        stage1: str,
        tasks: dict[str, dict[str, Any]],
        start: str = "shared",
        rank: int = 0,
        depth: int = 0,
        amp: bool | str = False,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        record = read_record(Path(stage1))
        super().__init__(
            record["codec"], tasks, [1.0] * max(1, len(record.get("gains", []))),
            record["quality"], record.get("gains", ()), amp=amp,
            data_preprocessor=data_preprocessor, init_cfg=init_cfg,
        )  # fmt: skip
        self._take(read_state_dict(stage1), stage1, start)
        self.transmitter.requires_grad_(False)
        self.transmitter.eval()
        for name, receiver in named_receivers(self.receivers):
            base = fingerprint(receiver.g_s)
            self.receivers[name] = Receiver(receiver.g_s, rank, depth)
        self.receivers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.record["transmitter"] = self.transmitter.fingerprint()
        self.record["tasks"] = list(tasks)
        if rank:
            self.record |= {"rank": rank, "base": base}
        if depth:
            self.record["depth"] = depth

    def _take(self, state: dict[str, Tensor], stage1: str, start: str) -> None:
        parts: list[tuple[str, nn.Module]] = [("transmitter.", self.transmitter)]
        parts += [(f"receivers.{start}.", receiver) for receiver in self.receivers.values()]
        for prefix, part in parts:
            own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            if not own:
                raise ConfigError(f"{stage1} has no {prefix[:-1]}: give a checkpoint of stage 1")
            try:
                part.load_state_dict(own)
            except RuntimeError as error:
                raise ConfigError(f"{stage1} does not fit its own record: {error}") from error

    def train(self, mode: bool = True) -> Self:
        """Set the receivers' mode; what decides the bits stays in eval mode and in float32."""
        super().train(mode)
        self.transmitter.eval()
        self.transmitter.amp = False
        return self

    def update_tables(self) -> None:
        """Nothing to do: the tables are stage 1's."""

    def frozen(self) -> dict[str, nn.Module]:
        """The tasks, and all that decides the bits."""
        return {"theta_e": self.transmitter, **super().frozen()}

    def loss(self, x: Tensor | None, data_samples: list[Any]) -> dict[str, Tensor]:
        """The tasks' losses.

        Args:
            x: Pictures, float [B, 3, H, W], RGB in [0, 1], padded; ``None`` where the samples
                hold received latents and no task compares with the originals.
            data_samples: mmdet data samples with ground truth. Their metainfo ``y_hat``, float
                [1, M, h, w], is taken for what was received.
        """
        quality, _ = self.draw()
        return self.task_losses(self._receive(x, data_samples, quality), x, data_samples)

    def _receive(
        self, x: Tensor | None, data_samples: list[Any], quality: int | None = None
    ) -> dict[str, Tensor]:
        """Each receiver's pictures, zero outside their true sizes."""
        groups = by_size(data_samples)
        tallest, widest = (max(size[axis] for size in groups) for axis in (0, 1))
        if x is not None:
            tallest, widest = x.shape[-2:]
        order = [index for members in groups.values() for index in members]
        places = sorted(range(len(order)), key=order.__getitem__)
        parts: dict[str, list[Tensor]] = {name: [] for name in self.receivers}
        for (height, width), members in groups.items():
            y_hat = self._received(x, data_samples, members, quality)
            room = (0, widest - width, 0, tallest - height)
            for name, receiver in self.receivers.items():
                decoded = receiver(y_hat)[..., :height, :width]
                parts[name].append(F.pad(decoded, room) if any(room) else decoded)
        if len(groups) == 1:
            return {name: decoded for name, (decoded,) in parts.items()}
        return {name: torch.cat(found)[places] for name, found in parts.items()}

    def _received(
        self, x: Tensor | None, data_samples: list[Any], members: list[int], quality: int | None
    ) -> Tensor:
        height, width = true_size(data_samples[members[0]])
        given = [data_samples[index].get("y_hat") for index in members]
        if all(latent is not None for latent in given):
            return torch.cat(given).to(self.data_preprocessor.device)
        if x is None:
            raise ConfigError("there are neither pictures nor received latents to train on")
        return self.transmitter.quantise(x[members, :, :height, :width], quality)
