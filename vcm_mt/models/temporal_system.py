"""A temporal prior on top of a trained system."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from typing_extensions import Self

from vcm_mt.bitstream.predicted import SequenceDecoder, SequenceEncoder
from vcm_mt.bitstream.sequence import SequenceWriter
from vcm_mt.bitstream.temporal import PAST, TemporalPrior
from vcm_mt.checkpoint import read_record, read_state_dict, take_over, training_checkpoint
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.models.codec import build_codec
from vcm_mt.models.receivers import Receiver
from vcm_mt.models.sizes import pixels_of
from vcm_mt.models.tasks import named_tasks
from vcm_mt.models.transmitter import z_shape_of
from vcm_mt.models.vcm_system import VCMSystem
from vcm_mt.registry import MODELS
from vcm_mt.structures import Packet, Sent

#: How many levels' rates are computed in a step.
_LEVELS = 3


@MODELS.register_module()
class TemporalSystem(VCMSystem):
    """Trains the temporal prior of a trained system; everything else is frozen.

    The loss is equation (1) on predicted pictures: the rate of y given the latents decoded before
    it, and the losses of the tasks behind their receivers. The means by which y is rounded are the
    prior's, so that it decides what receivers decode, within a rounding step.

    Args:
        stage1: Checkpoint of a trained system. Its receivers are kept.
        tasks: See :class:`VCMSystem`; each ``receiver`` that they name is one of stage 1.
        lmbda: See :class:`VCMSystem`, as for ``level_weights``, ``amp`` and ``data_preprocessor``.
        width: See :class:`vcm_mt.bitstream.temporal.TemporalPrior`.
        quality: That of stage 1; 0 for whatever it has.
        key_interval: In evaluation, see :class:`vcm_mt.bitstream.predicted.SequenceEncoder`.

    Raises:
        ConfigError: If ``stage1`` is no checkpoint of a stage 1, is one of another quality, or
            lacks a receiver.
    """

    def __init__(
        self,
        stage1: str,
        tasks: dict[str, dict[str, Any]],
        lmbda: float | list[float],
        width: int = 48,
        quality: int = 0,
        key_interval: int = 60,
        level_weights: list[float] | tuple[float, ...] = (),
        amp: bool | str = False,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        checkpoint = training_checkpoint(Path(stage1))
        record = read_record(checkpoint)
        if quality and "gains" not in record and quality != record["quality"]:
            raise ConfigError(f"{stage1} has quality {record['quality']}, not {quality}")
        super().__init__(
            record["codec"], tasks, lmbda, quality or record["quality"], record.get("gains", ()),
            level_weights, amp=amp, data_preprocessor=data_preprocessor, init_cfg=init_cfg,
        )  # fmt: skip
        state = read_state_dict(str(checkpoint))
        state = {k: v for k, v in state.items() if not k.startswith("transmitter.temporal.")}
        names = {key.split(".")[1] for key in state if key.startswith("receivers.")}
        if missing := sorted(set(self.receivers) - names):
            raise ConfigError(f"{stage1} has no receiver {missing[0]!r}, but {', '.join(names)}")
        for name in names:
            self.receivers[name] = Receiver(build_codec(**record["codec"]).g_s)
        for prefix, part in (("transmitter", self.transmitter), ("receivers", self.receivers)):
            take_over(part, state, f"{prefix}.", stage1)
        self.requires_grad_(False)
        channels = self.transmitter.g_a[-1].out_channels
        self.transmitter.temporal = TemporalPrior(channels, width)
        self.record["temporal"] = width
        self.record["transmitter"] = self.transmitter.fingerprint()
        self._interval = key_interval
        self._video: tuple[Any, int] | None = None  # the video, and the frame that is due
        self._ends = False
        self.train()

    @property
    def prior(self) -> TemporalPrior:
        """What is trained."""
        return cast(TemporalPrior, self.transmitter.temporal)

    def train(self, mode: bool = True) -> Self:
        """Set the prior's mode; everything else stays in eval mode and in float32."""
        super().train(False)
        if self.transmitter.temporal is not None:
            self.prior.train(mode)
        self.training = mode
        return self

    def update_tables(self) -> None:
        """Round the prior's weights to integers; stage 1 built all other tables."""
        self.prior.update_tables()

    def frozen(self) -> dict[str, nn.Module]:
        """The tasks, the receivers, and theta_e without the prior."""
        parts = dict(self.transmitter.named_children())
        parts.pop("temporal")
        return {"theta_e": nn.ModuleDict(parts), "theta_d": self.receivers, **super().frozen()}

    @torch.no_grad()
    def predict(self, x: Tensor, data_samples: list[Any]) -> list[Any]:
        """Send frames in order as a sequence; see :meth:`VCMSystem.predict`.

        Each frame's ``num_bytes`` is what the sequence's file grows by: the first frame's counts
        the header, the last one's the index.

        Args:
            x: Frames, float [B, 3, H, W], padded.
            data_samples: With ``video_id``, ``frame_id`` and ``video_length`` in their metainfo. A
                frame that does not follow the one before begins a new sequence.
        """
        for number, sample in enumerate(data_samples):
            video, frame = (sample.metainfo.get(name) for name in ("video_id", "frame_id"))
            if self._video != (video, frame):
                self._restart()
            self._video = None if frame is None else (video, frame + 1)
            self._ends = frame is not None and frame + 1 == sample.metainfo.get("video_length")
            super().predict(x[number : number + 1], [sample])
        return data_samples

    def _restart(self) -> None:
        self._file = io.BytesIO()
        self._writer = SequenceWriter(self._file)
        entropy, prior = self.transmitter.entropy, self.prior
        self._encoder = SequenceEncoder(entropy, prior, self._interval)
        self._decoder = SequenceDecoder(entropy, prior)

    @torch.no_grad()
    def send(self, picture: Tensor) -> dict[str, Sent]:
        """Encode the next picture [1, 3, H, W] of a sequence, and decode it with every receiver."""
        height, width = picture.shape[-2:]
        coded = self._encoder.encode(self.transmitter.scaled(self.transmitter.analyse(picture)))
        packet = Packet(
            height, width, self.transmitter.quality, self.transmitter.mark, coded.string,
            self.transmitter.prior_mark, coded.predicted,
        )  # fmt: skip
        z_shape = z_shape_of(packet, self.transmitter.entropy)
        y_hat = self._decoder.decode(packet.string, packet.predicted, z_shape)
        received = self.transmitter.unscaled(y_hat)
        num_bytes = self._written(packet)
        header = num_bytes - len(packet.string)
        return {
            name: Sent(receiver(received)[..., :height, :width], num_bytes, None, header)
            for name, receiver in self.receivers.items()
        }

    def _written(self, packet: Packet) -> int:
        """Write a picture to its sequence, and say how many bytes that took."""
        before = self._file.tell()
        self._writer.write(packet)
        if self._ends:
            self._writer.close()
        return self._file.tell() - before

    def loss(self, x: Tensor, data_samples: list[Any]) -> dict[str, Tensor]:
        """Equation (1) on predicted pictures, at levels that are drawn at random.

        The rate is the mean of three levels', which share the analysis. The tasks look at one
        level's pictures, at the last frame of each clip, which has been predicted most often.

        Args:
            x: The frames of clips, one clip after another, float [B * T, 3, H, W], RGB in [0, 1],
                padded; all of one size.
            data_samples: mmdet data samples with ground truth; ``clip_place`` of their metainfo is
                the frame's number in its clip, from 0.

        Returns:
            ``loss_*`` entries, whose sum is the loss, and unweighted values for the log.
        """
        qualities = self.transmitter.qualities
        drawn, *others = (qualities[n] for n in torch.randperm(len(qualities))[:_LEVELS])
        order = _by_place(data_samples)
        with torch.no_grad():
            y = self.transmitter.analyse(x)
        pixels = y.new_tensor([pixels_of(sample) for sample in data_samples]).float()
        losses: dict[str, Tensor] = {}
        rates = []
        for quality in (drawn, *others):
            scaled = self.transmitter.scaled(y, quality).float()
            y_hat, bpp = self._predicted(scaled, order, pixels)
            weight, lmbda = self._weighted(quality)
            rates.append(weight * (1 - lmbda) * bpp["trained"])
            if quality == drawn:
                received = self.transmitter.unscaled(y_hat, quality)
                losses |= {"bpp_train": bpp["predicted"], "bpp_key": bpp["key"]}
        losses["loss_rate"] = torch.stack(rates).mean()
        samples = [data_samples[n] for n in order[-1]]
        named = {task.receiver for _, task in named_tasks(self.tasks)}
        pictures = {name: self.receivers[name](received) for name in named}
        weight, lmbda = self._weighted(drawn)
        of_tasks = self.task_losses(pictures, x[order[-1]], samples, lmbda)
        return losses | {k: weight * v if "loss" in k else v for k, v in of_tasks.items()}

    def _weighted(self, quality: int) -> tuple[float, float]:
        """The level's weight and lambda."""
        place = quality - 1 if len(self.lmbdas) > 1 else 0
        return self.level_weights[place], self.lmbdas[place]

    def _predicted(
        self, y: Tensor, order: list[Tensor], pixels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The last frames' y_hat, and rates in bpp.

        The gradient of the rate comes in equal parts from rounded and from noisy latents: a symbol
        0 gives its mean none, wherever in the step it lies.

        Returns:
            ``trained``, the mean of the two rates of predicted frames; ``predicted``, of rounded
            ones alone; ``key``, of the first frames.
        """
        entropy = self.transmitter.entropy
        key = entropy.rounded(y[order[0]])
        past = [key.y_hat.detach()] * PAST
        rates, noisy_rates = [], []
        for place in order[1:]:
            own = self.prior.rounded(y[place], torch.cat(past, 1), entropy)
            past = [own.y_hat.detach(), *past[:-1]]
            noisy = y[place] + torch.rand_like(y[place]) - 0.5
            rates.append(own.bits / pixels[place])
            noisy_rates.append(entropy.y_bits(noisy, own.scales, own.means) / pixels[place])
        predicted, with_noise = torch.cat(rates).mean(), torch.cat(noisy_rates).mean()
        return own.y_hat, {
            "trained": (predicted + with_noise) / 2,
            "predicted": predicted.detach(),
            "key": (key.bits / pixels[order[0]]).mean().detach(),
        }


def _by_place(data_samples: list[Any]) -> list[Tensor]:
    """The samples' numbers by their place in a clip: for each place those of all clips."""
    places: dict[int, list[int]] = {}
    for number, sample in enumerate(data_samples):
        places.setdefault(sample.metainfo.get("clip_place", 0), []).append(number)
    order = [torch.tensor(numbers) for _, numbers in sorted(places.items())]
    if len(order) < 2 or len({len(numbers) for numbers in order}) > 1:
        raise DataError(
            "a temporal prior is trained on clips of two frames or more, all of one length: use a "
            "ClipDataset"
        )
    return order
