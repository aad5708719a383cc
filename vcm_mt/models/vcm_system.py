"""Stage 1: transmitter, receivers and frozen tasks as one network (the paper's figure 2)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn
from typing_extensions import Self

from vcm_mt.errors import ConfigError
from vcm_mt.models.codec import build_codec
from vcm_mt.models.precision import amp_name, check_amp
from vcm_mt.models.receivers import Receiver, named_receivers
from vcm_mt.models.score import score
from vcm_mt.models.sizes import by_size, in_batch_order, pixels_of, zero_padded
from vcm_mt.models.task_losses import task_losses
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

    R is the expected length of the bitstream in bits per native pixel, L_t the training loss of
    the frozen network.

    Args:
        codec: Arguments of :func:`vcm_mt.models.codec.build_codec`.
        tasks: Configs of :class:`vcm_mt.models.tasks.Task` by name. The system has one receiver
            for each ``receiver`` that they name.
        lmbda: lambda of equation (1), in [0, 1]; with ``gains`` one per quality.
        quality: Quality written into every packet; with ``gains`` the one used in validation, by
            default the middle one.
        gains: Train one codec for several rates. These are the initial gains, one per quality, see
            :class:`vcm_mt.bitstream.gains.Gains`; each step draws a quality.
        level_weights: Factor of the loss of each of those qualities, by default 1. A large lambda
            makes large gradients; weights of 1 / sqrt(lambda) balance them.
        quantizer: See :data:`vcm_mt.bitstream.entropy.QUANTIZERS`.
        amp: Precision in which the transforms train: ``"auto"``, ``"bf16"``, ``"fp16"`` or
            ``"fp32"``, see :func:`vcm_mt.models.precision.amp_dtype`. Evaluation always codes in
            float32.
        compile: Apply ``torch.compile`` to the transforms and the tasks' backbones in training.
        data_preprocessor: Config of a :class:`VCMDataPreprocessor`.

    Raises:
        ConfigError: If lambda is outside [0, 1], there is no task, or the number of lambdas or
            weights differs from that of the gains.
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
            raise ConfigError("a system needs at least one task: set model.tasks")
        quality = quality or (len(gains) + 1) // 2
        check_amp(amp)
        self.amp = amp
        # What a checkpoint stores so that the codec can be rebuilt from it.
        self.record = {
            "codec": {k: v for k, v in codec.items() if k not in ("checkpoint", "pretrained")},
            "quality": quality,
        }
        if gains:
            self.record["gains"] = list(gains)
        net = build_codec(**codec)
        self.transmitter = Transmitter(net, quality, quantizer, gains)
        self.data_preprocessor.divisor = self.transmitter.entropy.divisor
        self.tasks = nn.ModuleDict({name: MODELS.build(task) for name, task in tasks.items()})
        names = dict.fromkeys(task.receiver for _, task in named_tasks(self.tasks))
        self.receivers = nn.ModuleDict({name: Receiver(copy.deepcopy(net.g_s)) for name in names})
        # Convolutions are faster in channels_last. Tasks make their inputs contiguous.
        for part in (self.transmitter, self.receivers):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for _, task in named_tasks(self.tasks):
            task.freeze()
        if compile:
            self._compile()
        # Task weights come from the config and never change: checkpoints leave them out.
        self._register_state_dict_hook(_drop_task_weights)
        self.register_load_state_dict_post_hook(_excuse_task_weights)

    def _compile(self) -> None:
        self.transmitter.g_a.compile()
        for _, receiver in named_receivers(self.receivers):
            receiver.g_s.compile()
        for _, task in named_tasks(self.tasks):
            task.compile()

    def settle_precision(self, known: Mapping[str, str] | None = None) -> dict[str, str]:
        """Resolve ``amp="auto"`` for a whole run on the current device.

        Args:
            known: Earlier results by part, for instance of a resumed run; they take precedence
                where ``amp`` is ``"auto"``.

        Returns:
            ``"bf16"``, ``"fp16"`` or ``"fp32"`` by part: ``transforms``, and the tasks by name.

        Raises:
            ConfigError: If fp16 is asked for on a CPU.
        """
        known = known or {}
        device = self.data_preprocessor.device
        amp = known.get("transforms", self.amp) if self.amp == "auto" else self.amp
        self.amp = amp_name(amp, device)
        settled = {"transforms": self.amp}
        for name, task in named_tasks(self.tasks):
            if (precision := task.settle_precision(known.get(name))) is not None:
                settled[name] = precision
        self.record["precision"] = settled
        self.train(self.training)  # passes it to transmitter and receivers
        return settled

    def forward(
        self, inputs: Tensor, data_samples: list[Any], mode: str = "tensor"
    ) -> dict[str, Tensor] | list[Any] | Tensor:
        """Entry point of mmengine; mode ``tensor`` returns the first receiver's x_hat."""
        if mode == "loss":
            # Each part sets its own precision, even inside the autocast of an AmpOptimWrapper.
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
            ``loss_*`` entries, whose sum is the loss, and unweighted values for the log.
        """
        quality, lmbda = self.draw()
        bits, pictures = self.transmit(x, data_samples, quality)
        pixels = bits.new_tensor([pixels_of(sample) for sample in data_samples])
        bpp = (bits / pixels).mean()
        losses = {"loss_rate": (1 - lmbda) * bpp, "bpp_train": bpp.detach()}
        losses |= self.task_losses(pictures, x, data_samples, lmbda)
        if len(self.lmbdas) == 1:
            return losses
        weight = self.level_weights[quality - 1]
        losses = {k: weight * loss if "loss" in k else loss for k, loss in losses.items()}
        return losses | {f"bpp_train/{quality}": bpp.detach()}

    def transmit(
        self, x: Tensor, data_samples: list[Any], quality: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Quantise pictures and decode them with every receiver.

        Pictures of equal size are processed together, so that none is sent with padding that it
        has only because of a larger picture in its batch.

        Returns:
            bits, float [B], and the decoded pictures of each receiver, float [B, 3, H, W].
        """
        groups = by_size(data_samples)
        bits: list[Tensor] = []
        decoded: dict[str, list[Tensor]] = {name: [] for name in self.receivers}
        for size, members in groups.items():
            latent = self.transmitter(self._unpadded(x, size, members), quality)
            bits.append(latent.bits)
            for name, receiver in self.receivers.items():
                decoded[name].append(zero_padded(receiver(latent.y_hat), x.shape[-2:]))
        pictures = {name: in_batch_order(parts, groups) for name, parts in decoded.items()}
        return in_batch_order(bits, groups), pictures

    def _unpadded(self, x: Tensor, size: tuple[int, int], members: list[int]) -> Tensor:
        if len(members) == len(x):
            return x
        divisor = self.data_preprocessor.divisor
        height, width = (side + -side % divisor for side in size)
        return x[members, :, :height, :width]

    def draw(self) -> tuple[int, float]:
        """The quality of a training step, drawn at random if there are several, and its lambda."""
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
        """The right half of equation (1); see :func:`vcm_mt.models.task_losses.task_losses`."""
        return task_losses(self.tasks, pictures, x, data_samples, lmbda)

    def train(self, mode: bool = True) -> Self:
        """Set the mode and the transforms' precision: :attr:`amp` in training, else float32."""
        transforms: list[Any] = [self.transmitter, *self.receivers.values()]
        for transform in transforms:
            transform.amp = self.amp if mode else False
        return super().train(mode)

    def train_step(
        self,
        data: dict[str, Any],
        optim_wrapper: OptimWrapperDict,
        forward: Callable[..., dict[str, Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """One training step: ``main`` on equation (1), then ``aux`` on the quantiles.

        If ``main`` skips the step because a gradient is not finite, so does ``aux``.

        Args:
            data: A batch from the data loader.
            optim_wrapper: ``main``, and ``aux`` unless the quantiles are frozen.
            forward: What computes the losses: the wrapper in distributed training, by default
                the system.

        Returns:
            The values to log.
        """
        main = optim_wrapper["main"]
        with main.optim_context(forward or self):
            data = self.data_preprocessor(data, True)
            losses = (forward or self)(**data, mode="loss")
        loss, log = self.parse_losses(losses)
        main.update_params(loss)
        skipped = getattr(main, "skipped", 0)
        if "aux" in optim_wrapper and not skipped:
            quantile_loss = self.transmitter.entropy.aux_loss()
            optim_wrapper["aux"].update_params(quantile_loss)
            log["aux"] = quantile_loss.detach()
        return log

    def update_tables(self) -> None:
        """Build the entropy tables from the current weights."""
        self.transmitter.update_tables()

    def frozen(self) -> dict[str, nn.Module]:
        """Modules that training must not change, by name."""
        return {f"task {name}": task for name, task in named_tasks(self.tasks)}

    @torch.no_grad()
    def predict(self, x: Tensor, data_samples: list[Any]) -> list[Any]:
        """Encode each picture to bytes, decode them, and run every task on the result.

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
        """Encode a picture [1, 3, H, W] to bytes, and decode them with every receiver."""
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
