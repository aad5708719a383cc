"""Stage 1: transmitter, receivers and frozen tasks as one network (the paper's figure 2)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from typing_extensions import Self

from vcm_mt.errors import ConfigError
from vcm_mt.models.codec import build_codec
from vcm_mt.models.precision import amp_name, check_amp
from vcm_mt.models.receivers import Receiver, named_receivers
from vcm_mt.models.score import score
from vcm_mt.models.sizes import by_size, pixels_of
from vcm_mt.models.tasks import named_tasks
from vcm_mt.models.transmitter import Transmitter
from vcm_mt.registry import MODELS
from vcm_mt.structures import Sent

_TASKS_PREFIX = "tasks."


@MODELS.register_module()
class VCMSystem(BaseModel):
    """Stage 1: train a codec through frozen task networks.

    .. code-block:: none

              Transmitter (theta_e)        Receiver (theta_d)      Task (frozen)
        x --> g_a --> hyperprior --bits--> y_hat --> g_s --> x_hat --> Psi --> L_task
                          |
                          +--> R

    The loss is equation (1) of the paper, for one or several tasks t with weights w_t:

        (1 - lambda) * R(x)  +  lambda * sum_t w_t * L_t(Psi_t(x_hat), y)

    R is the expected length of the bitstream in bits per native pixel, L_t the frozen
    network's own training loss.

    Args:
        codec: Arguments of :func:`vcm_mt.models.codec.build_codec`.
        tasks: Config of a :class:`vcm_mt.models.tasks.Task` by name. There is one receiver for
            each name that they have as their ``receiver``.
        lmbda: lambda of equation (1), in [0, 1]; with ``gains`` one for each level.
        quality: Quality level, written into every packet; with ``gains`` the level that
            validation looks at, by default the middle one.
        gains: Train one codec for several rates, with these gains at the start
            (:class:`vcm_mt.bitstream.gains.Gains`): each step draws a level.
        level_weights: What the loss of each of those levels is multiplied with, by default 1. A
            large lambda makes large gradients; 1 / sqrt(lambda) keeps them from drowning the
            others.
        quantizer: See :data:`vcm_mt.bitstream.entropy.QUANTIZERS`.
        amp: What the transforms train in: ``"auto"``, ``"bf16"``, ``"fp16"`` or ``"fp32"``, see
            :func:`vcm_mt.models.precision.amp_dtype`; what is measured is always coded in float32.
        compile: Train the transforms and the tasks' backbones as ``torch.compile`` makes them.
        data_preprocessor: A :class:`VCMDataPreprocessor`'s config.

    Raises:
        ConfigError: For lambda outside [0, 1], a system without a task, or another number of
            lambdas or weights than of levels.
    """

    def __init__(
        self,
        codec: dict[str, Any],
        tasks: dict[str, dict[str, Any]],
        lmbda: float | Sequence[float],
        quality: int = 0,
        gains: Sequence[float] = (),
        level_weights: Sequence[float] = (),
        quantizer: str = "noise",
        amp: bool | str = False,
        compile: bool = False,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor or {"type": "VCMDataPreprocessor"}, init_cfg)
        self.lmbdas = [float(one) for one in ([lmbda] if isinstance(lmbda, int | float) else lmbda)]
        if not all(0 <= one <= 1 for one in self.lmbdas):
            raise ConfigError(f"lambda must lie in [0, 1], not {lmbda}")
        if len(self.lmbdas) != max(1, len(gains)):
            raise ConfigError(f"{len(gains)} gains need as many lambdas, not {len(self.lmbdas)}")
        if level_weights and (len(level_weights) != len(gains) or min(level_weights) <= 0):
            raise ConfigError(
                f"each of {len(gains)} gains needs a weight above 0, not {list(level_weights)}"
            )
        self.level_weights = list(level_weights) or [1.0] * len(self.lmbdas)
        if not tasks:
            raise ConfigError("a system needs at least one task")
        quality = quality or (len(gains) + 1) // 2
        check_amp(amp)
        self.amp = amp
        # What a program needs to build the codec again around the weights of a checkpoint.
        self.record = {
            "codec": {k: v for k, v in codec.items() if k not in ("checkpoint", "pretrained")},
            "quality": quality,
        }
        if gains:
            self.record["gains"] = list(gains)
        net = build_codec(**codec)
        self.transmitter = Transmitter(net, quality, quantizer, gains)
        self.tasks = nn.ModuleDict({name: MODELS.build(task) for name, task in tasks.items()})
        wanted = dict.fromkeys(task.receiver for _, task in named_tasks(self.tasks))
        self.receivers = nn.ModuleDict({name: Receiver(copy.deepcopy(net.g_s)) for name in wanted})
        # Faster convolutions on a CPU; the tasks get contiguous pictures all the same.
        for part in (self.transmitter, self.receivers):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for _, task in named_tasks(self.tasks):
            task.freeze()
        if compile:
            self._compile()
        # Task weights are given by config and never change: checkpoints leave them out.
        self._register_state_dict_hook(_drop_task_weights)
        self.register_load_state_dict_post_hook(_excuse_task_weights)

    def _compile(self) -> None:
        self.transmitter.g_a.compile()
        for _, receiver in named_receivers(self.receivers):
            receiver.g_s.compile()
        for _, task in named_tasks(self.tasks):
            task.compile()

    def settle_precision(self, known: Mapping[str, str] | None = None) -> dict[str, str]:
        """Decide for a whole run what ``amp="auto"`` stands for on the present device.

        Args:
            known: What was decided before, by part: an ``auto`` that it names takes that.

        Returns:
            ``"bf16"``, ``"fp16"`` or ``"fp32"`` by part: ``transforms``, and the tasks by name.

        Raises:
            ConfigError: For fp16 on a CPU.
        """
        known = known or {}
        device = self.data_preprocessor.device
        amp = known.get("transforms", self.amp) if self.amp == "auto" else self.amp
        self.amp = amp_name(amp, device)
        settled = {"transforms": self.amp}
        for name, task in named_tasks(self.tasks):
            if (found := task.settle_precision(known.get(name))) is not None:
                settled[name] = found
        self.record["precision"] = settled
        self.train(self.training)  # hands it to the parts
        return settled

    def forward(
        self, inputs: Tensor, data_samples: list[Any], mode: str = "tensor"
    ) -> dict[str, Tensor] | list[Any] | Tensor:
        """Run as mmengine asks: ``loss``, ``predict``, or ``tensor`` for the first x_hat."""
        if mode == "loss":
            # Each part decides its precision, whatever an AmpOptimWrapper asks of the whole.
            with torch.autocast(self.data_preprocessor.device.type, enabled=False):
                return self.loss(inputs, data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples)
        return next(iter(self.receivers.values()))(self.transmitter(inputs).y_hat)

    def loss(self, x: Tensor, data_samples: list[Any]) -> dict[str, Tensor]:
        """Equation (1).

        Args:
            x: Pictures, float [B, 3, H, W], RGB in [0, 1], padded.
            data_samples: mmdet data samples at native resolution, with ground truth.

        Returns:
            ``loss_*`` entries, whose sum is the loss, and unweighted values to log.
        """
        quality, lmbda = self.draw()
        bits, pictures = self._through(x, data_samples, quality)
        pixels = bits.new_tensor([pixels_of(sample) for sample in data_samples])
        bpp = (bits / pixels).mean()
        losses = {"loss_rate": (1 - lmbda) * bpp, "bpp_train": bpp.detach()}
        losses |= self.task_losses(pictures, x, data_samples, lmbda)
        if len(self.lmbdas) == 1:
            return losses
        weight = self.level_weights[quality - 1]
        losses = {k: weight * loss if "loss" in k else loss for k, loss in losses.items()}
        return losses | {f"bpp_train/{quality}": bpp.detach()}

    def _through(
        self, x: Tensor, data_samples: list[Any], quality: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The bits of each picture [B], and what each receiver makes of them [B, 3, H, W].

        Pictures of one size go together, so that none is sent with the padding that only stands
        beside it in the batch.
        """
        groups = by_size(data_samples)
        if len(groups) == 1:
            latent = self.transmitter(x, quality)
            return latent.bits, {name: one(latent.y_hat) for name, one in self.receivers.items()}
        divisor = self.data_preprocessor.divisor
        bits: list[Any] = [None] * len(x)
        pictures: dict[str, list[Any]] = {name: [None] * len(x) for name in self.receivers}
        for (height, width), members in groups.items():
            rows, columns = (-(-side // divisor) * divisor for side in (height, width))
            latent = self.transmitter(x[members, :, :rows, :columns], quality)
            room = (0, x.shape[-1] - columns, 0, x.shape[-2] - rows)
            decoded = {name: F.pad(r(latent.y_hat), room) for name, r in self.receivers.items()}
            for at, index in enumerate(members):
                bits[index] = latent.bits[at]
                for name, own in decoded.items():
                    pictures[name][index] = own[at]
        return torch.stack(bits), {name: torch.stack(own) for name, own in pictures.items()}

    def draw(self) -> tuple[int, float]:
        """The level of a step, drawn where there are several, and its lambda."""
        if len(self.lmbdas) == 1:
            return self.transmitter.quality, self.lmbdas[0]
        quality = int(torch.randint(1, len(self.lmbdas) + 1, ()))
        return quality, self.lmbdas[quality - 1]

    def task_losses(
        self,
        pictures: dict[str, Tensor],
        x: Tensor | None,
        data_samples: list[Any],
        lmbda: float = 1.0,
    ) -> dict[str, Tensor]:
        """The right half of equation (1), and its parts to log.

        Args:
            pictures: What each receiver decoded, float [B, 3, H, W].
            x: The originals, alike; ``None`` where there are none.
            data_samples: As :meth:`loss` takes them.
            lmbda: Of equation (1).
        """
        losses: dict[str, Tensor] = {}
        for name, task in named_tasks(self.tasks):
            parts = task.loss(pictures[task.receiver], x, data_samples)
            total = torch.stack(list(parts.values())).sum()
            losses[f"loss_{name}"] = lmbda * task.weight * total
            # mmengine sums every key that contains "loss"; these are only to be looked at.
            losses |= {
                f"{name}/{part.replace('loss_', '')}": value.detach()
                for part, value in parts.items()
            }
        return losses

    def train(self, mode: bool = True) -> Self:
        """Set the mode, and with it the transforms' precision."""
        transforms: list[Any] = [self.transmitter, *self.receivers.values()]
        for part in transforms:
            part.amp = self.amp if mode else False
        return super().train(mode)

    def train_step(
        self,
        data: dict[str, Any],
        optim_wrapper: OptimWrapperDict,
        forward: Callable[..., dict[str, Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """One step of the main optimiser, then one of the quantiles' (``aux``).

        Where a wrapper skips a step that is not finite, both are skipped.

        Args:
            data: A batch as the data loader collates it.
            optim_wrapper: ``main`` and ``aux``.
            forward: What computes the losses, where a wrapper stands around the system.
        """
        main = optim_wrapper["main"]
        with main.optim_context(forward or self):
            data = self.data_preprocessor(data, True)
            losses = (forward or self)(**data, mode="loss")
        loss, log = self.parse_losses(losses)
        main.update_params(loss)
        skipped = getattr(main, "skipped", 0)
        if "aux" in optim_wrapper and not skipped:  # none where the quantiles are frozen
            quantile_loss = self.transmitter.entropy.aux_loss()
            optim_wrapper["aux"].update_params(quantile_loss)
            log["aux"] = quantile_loss.detach()
        return log

    def update_tables(self) -> None:
        """Build the entropy tables that belong to the present weights."""
        self.transmitter.update_tables()

    def frozen(self) -> dict[str, nn.Module]:
        """What no training may change, by name."""
        return {f"task {name}": task for name, task in named_tasks(self.tasks)}

    @torch.no_grad()
    def predict(self, x: Tensor, data_samples: list[Any]) -> list[Any]:
        """Send each picture as real bytes, decode those, and run every task on the result.

        Args:
            x: Pictures, float [B, 3, H, W], padded; true sizes are in the data samples.
            data_samples: mmdet data samples.

        Returns:
            The data samples with ``coding`` and ``pred_<task>`` added; see
            :func:`vcm_mt.models.score.score`.
        """
        for picture, sample in zip(x, data_samples, strict=True):
            height, width = sample.img_shape[:2]
            original = picture[None, :, :height, :width]
            score(self.tasks, original, self.send(original), sample)
        return data_samples

    @torch.no_grad()
    def send(self, picture: Tensor) -> dict[str, Sent]:
        """Encode a picture [1, 3, H, W], decode the bytes with every receiver."""
        y = self.transmitter.analyse(picture)
        (data,) = self.transmitter.code(y, *picture.shape[-2:])
        bits = self.transmitter.estimate(y).bits.item()
        y_hat, (height, width) = self.transmitter.decode(data)
        return {
            name: Sent(receiver(y_hat)[..., :height, :width], len(data), bits)
            for name, receiver in self.receivers.items()
        }


def _drop_task_weights(
    module: nn.Module,
    state: dict[str, Any],
    prefix: str,
    metadata: dict[str, Any],  # noqa: ARG001
) -> None:
    for key in [key for key in state if key.startswith(prefix + _TASKS_PREFIX)]:
        del state[key]


def _excuse_task_weights(module: nn.Module, incompatible: Any) -> None:  # noqa: ARG001
    kept = [k for k in incompatible.missing_keys if not k.startswith(_TASKS_PREFIX)]
    incompatible.missing_keys[:] = kept
