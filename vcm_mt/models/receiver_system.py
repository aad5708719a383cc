"""Stage 2: more receivers for the bitstream of a trained transmitter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from vcm_mt.checkpoint import fingerprint, read_record, read_state_dict, take_over
from vcm_mt.errors import ConfigError
from vcm_mt.models.receivers import Receiver, named_receivers
from vcm_mt.models.sizes import by_size, in_batch_order, zero_padded
from vcm_mt.models.vcm_system import VCMSystem
from vcm_mt.registry import MODELS


@MODELS.register_module()
class ReceiverSystem(VCMSystem):
    """Trains theta_d only; theta_e, and with it every bit of the bitstream, is frozen.

    The loss is equation (1) at lambda = 1: the losses of the tasks behind their receivers. The
    input of a receiver is the latent that real bytes decode to, each picture coded at its own
    size.

    Args:
        stage1: Checkpoint of a trained system.
        tasks: See :class:`VCMSystem`; each ``receiver`` that they name becomes a receiver.
        start: The receiver of stage 1 from which all of them start.
        rank: Train LoRA receivers of this rank, see :class:`Receiver`; 0 for full receivers.
        depth: Train receivers with a latent adapter of this many blocks, see :class:`Receiver`.
        amp: Precision in which receivers train, see :func:`vcm_mt.models.precision.amp_dtype`.
        data_preprocessor: Config of a :class:`VCMDataPreprocessor`.

    Raises:
        ConfigError: If ``stage1`` is no checkpoint of a stage 1, or has no such receiver.
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
            take_over(part, state, prefix, stage1)

    def train(self, mode: bool = True) -> Self:
        """Set the receivers' mode; the transmitter stays in eval mode and in float32."""
        super().train(mode)
        self.transmitter.eval()
        self.transmitter.amp = False
        return self

    def update_tables(self) -> None:
        """Do nothing: stage 1 built the tables."""

    def frozen(self) -> dict[str, nn.Module]:
        """The tasks and theta_e."""
        return {"theta_e": self.transmitter, **super().frozen()}

    def loss(self, x: Tensor | None, data_samples: list[Any]) -> dict[str, Tensor]:
        """The losses of the tasks.

        Args:
            x: Pictures, float [B, 3, H, W], RGB in [0, 1], padded; ``None`` if the samples have
                received latents and no task compares with the originals.
            data_samples: mmdet data samples with ground truth. If their metainfo has ``y_hat``,
                float [1, M, h, w], that is the received latent, and ``x`` is not encoded.
        """
        quality, _ = self.draw()
        return self.task_losses(self._receive(x, data_samples, quality), x, data_samples)

    def _receive(
        self, x: Tensor | None, data_samples: list[Any], quality: int | None = None
    ) -> dict[str, Tensor]:
        """The pictures of each receiver, float [B, 3, H, W], zero outside their true sizes."""
        groups = by_size(data_samples)
        tallest, widest = (max(size[axis] for size in groups) for axis in (0, 1))
        canvas = (tallest, widest) if x is None else x.shape[-2:]
        decoded: dict[str, list[Tensor]] = {name: [] for name in self.receivers}
        for (height, width), members in groups.items():
            pictures = None if x is None else x[members, :, :height, :width]
            y_hat = self._received(pictures, [data_samples[i] for i in members], quality)
            for name, receiver in self.receivers.items():
                own = receiver(y_hat)[..., :height, :width]
                decoded[name].append(zero_padded(own, canvas))
        return {name: in_batch_order(parts, groups) for name, parts in decoded.items()}

    def _received(
        self, pictures: Tensor | None, data_samples: list[Any], quality: int | None
    ) -> Tensor:
        """The received latents of pictures of one size: those of the samples, or encoded now."""
        latents = [sample.get("y_hat") for sample in data_samples]
        if all(latent is not None for latent in latents):
            return torch.cat(latents).to(self.data_preprocessor.device)
        if pictures is None:
            raise ConfigError(
                "there are neither pictures nor received latents to train on: load pictures "
                "(LoadPicture) or bitstreams (LoadBitstream) in the pipeline"
            )
        return self.transmitter.quantise(pictures, quality)
