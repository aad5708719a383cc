"""Training for a target rate: lambda is adapted while the codec trains."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from torch.utils.data import DataLoader, Subset

from vcm_mt.engine.hooks import unwrapped
from vcm_mt.errors import ConfigError
from vcm_mt.models.latent_scale import scale_latent
from vcm_mt.models.receivers import named_receivers
from vcm_mt.models.sizes import true_size
from vcm_mt.models.vcm_system import VCMSystem
from vcm_mt.registry import HOOKS

#: Approximate d log(rate) / d log(factor of y); number of trials; largest log(factor).
_SLOPE = 0.8
_TRIALS = 6
_LARGEST_TRIM = math.log(1.25)
#: Largest number of pixels that are coded together: more are not faster on a CPU.
_PIXELS = 1 << 20
#: Smallest distance of lambda from 0 and 1, where its log-odds are infinite.
_MARGIN = 1e-6


@HOOKS.register_module()
class RateTargetHook(Hook):
    """Adapts lambda of equation (1) until validation pictures have the target rate.

    Every ``interval`` iterations, pictures of the validation set are encoded to real bytes. While
    their rate deviates by more than the tolerance,

        log(lambda / (1 - lambda))  +=  gain * log(target / bpp)

    log(bpp) follows these log-odds with a slope of 1/4 to 1/2 and with a delay; a gain of 1
    converges without oscillation. Lambda is held once the deviation is below half the tolerance,
    and adapted again if it exceeds the tolerance. If only some validation pictures are encoded,
    each validation corrects for their difference from all.

    As the learning rate falls, the codec reacts less to lambda. The remaining deviation is removed
    at the end by scaling y, that is the quantisation step, by a few percent
    (:func:`scale_latent`), if the codec allows it. A missed target is logged.

    Args:
        bpp: The target in bits per pixel, as :class:`CodingMetric` counts them.
        interval: Iterations between two measurements.
        pictures: Number of pictures to encode, spread evenly over the validation set.
        tolerance: Largest relative deviation.
        gain: Change of lambda's log-odds for a deviation by a factor of e.

    Raises:
        ConfigError: If the target is not above 0.
    """

    priority = "ABOVE_NORMAL"  # before EntropyTablesHook, which writes the record

    def __init__(
        self,
        bpp: float,
        interval: int = 100,
        pictures: int = 300,
        tolerance: float = 0.03,
        gain: float = 1.0,
    ) -> None:
        if not bpp > 0:
            raise ConfigError(f"a target rate must be above 0 bpp, not {bpp}")
        self.bpp, self.interval, self.pictures = bpp, interval, pictures
        self.tolerance, self.gain = tolerance, gain
        self._holding = False
        self._correction = 1.0  # rate of all pictures / rate of the encoded ones
        self._trimmed = 1.0
        self._bpp: float | None = None  # the last measurement

    def before_train(self, runner: Any) -> None:
        """Measure the rate, unless the checkpoint has a measurement.

        Raises:
            ConfigError: If the codec has several qualities.
        """
        lmbdas = unwrapped(runner).lmbdas
        if len(lmbdas) != 1:
            raise ConfigError("a rate target needs a codec of one quality: leave out model.gains")
        lmbdas[0] = min(max(lmbdas[0], _MARGIN), 1 - _MARGIN)
        if self._bpp is None:
            self._log_deviation(runner)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Log lambda and the rate; adapt lambda every ``interval`` iterations."""
        if runner.iter + 1 == runner.max_iters:
            self._trim(runner)
        elif self.every_n_train_iters(runner, self.interval):
            self._adapt(runner)
        runner.message_hub.update_scalar("train/lambda", unwrapped(runner).lmbdas[0])
        runner.message_hub.update_scalar("train/bpp_val", self._bpp)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Compare the rate of the pictures encoded in training with that of all."""
        if metrics and "bpp" in metrics:
            self._correction *= metrics["bpp"] / self._measure(runner)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Store lambda and the state of the adaptation in the record."""
        unwrapped(runner).record["rate_target"] = {
            "target": self.bpp,
            "lmbda": unwrapped(runner).lmbdas[0],
            "bpp": self._bpp,
            "holding": self._holding,
            "trimmed": self._trimmed,
            "correction": self._correction,
        }

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Restore lambda and the state of a resumed training.

        Raises:
            ConfigError: If the checkpoint was trained for another target.
        """
        if not runner.cfg.get("resume"):
            return  # weights to start from
        state = json.loads(checkpoint["meta"]["record"]).get("rate_target", {"target": "no"})
        if state["target"] != self.bpp:
            raise ConfigError(
                f"the checkpoint was trained for {state['target']} bpp, not {self.bpp}: "
                "start anew in another --work-dir"
            )
        unwrapped(runner).lmbdas[0], self._bpp = state["lmbda"], state["bpp"]
        self._holding, self._correction = state["holding"], state["correction"]
        self._trimmed = state["trimmed"]

    def _adapt(self, runner: Any) -> None:
        error = self._log_deviation(runner)
        limit = math.log1p(self.tolerance) * (1.0 if self._holding else 0.5)
        self._holding = abs(error) <= limit
        if self._holding:
            return
        lmbdas = unwrapped(runner).lmbdas
        odds = math.log(lmbdas[0] / (1 - lmbdas[0])) + self.gain * error
        lmbdas[0] = min(max(1 / (1 + math.exp(-odds)), _MARGIN), 1 - _MARGIN)

    def _trim(self, runner: Any) -> None:
        """Scale y until the rate is within a third of the tolerance, if a small factor suffices."""
        system = unwrapped(runner)
        receivers = [receiver for _, receiver in named_receivers(system.receivers)]
        error, slope = self._log_deviation(runner), _SLOPE
        for _ in range(_TRIALS):
            step = min(max(error / slope, -_LARGEST_TRIM), _LARGEST_TRIM)
            room = math.log(self._trimmed) + step
            if abs(error) <= math.log1p(self.tolerance) / 3 or abs(room) > _LARGEST_TRIM:
                break
            try:
                scale_latent(system.transmitter, receivers, math.exp(step))
            except ConfigError as reason:  # the training must not fail here
                print_log(
                    f"the rate is not adjusted by scaling: {reason}",
                    logger="current",
                    level=logging.WARNING,
                )
                break
            self._trimmed *= math.exp(step)
            before, error = error, self._log_deviation(runner)
            slope = max((before - error) / step, _SLOPE / 2)
        if abs(error) > math.log1p(self.tolerance):
            print_log(
                f"the target of {self.bpp} bpp was missed: train longer, or start from a lambda "
                f"closer to {system.lmbdas[0]:.5f}",
                logger="current",
                level=logging.WARNING,
            )

    def _log_deviation(self, runner: Any) -> float:
        """Measure the rate, log it, and return log(target / bpp)."""
        self._bpp = self._measure(runner)
        print_log(
            f"rate target {self.bpp:.4f}: {self._bpp:.4f} bpp at lambda "
            f"{unwrapped(runner).lmbdas[0]:.5f} ({self._bpp / self.bpp - 1:+.1%})",
            logger="current",
        )
        return math.log(self.bpp / self._bpp)

    @torch.no_grad()
    def _measure(self, runner: Any) -> float:
        """Mean real rate of the validation pictures in bpp; each process encodes its share."""
        system = unwrapped(runner)
        loader = runner.val_loop.dataloader
        size = len(loader.dataset)
        count = min(self.pictures, size)
        chosen = [index * size // count for index in range(count)]
        mode = system.training
        system.eval()
        system.update_tables()
        rates = _rates(system, _loaded(loader, chosen[get_rank() :: get_world_size()]))
        shares = all_gather_object(sum(rates))
        system.train(mode)
        return self._correction * sum(shares) / count


def _loaded(loader: DataLoader, chosen: list[int]) -> Iterator[Any]:
    """Some items of a loader's dataset, sorted by size, loaded with its settings."""

    def size(index: int) -> tuple[int, int]:
        info = loader.dataset.get_data_info(index)  # type: ignore[attr-defined]
        return info.get("height", 0), info.get("width", 0)

    if not chosen:
        return iter(())
    same = ("num_workers", "timeout", "worker_init_fn", "multiprocessing_context")
    settings = {name: getattr(loader, name) for name in same}
    settings["generator"] = torch.Generator()  # does not advance that of the training
    pictures = Subset(loader.dataset, sorted(chosen, key=size))
    return iter(DataLoader(pictures, batch_size=None, collate_fn=_identity, **settings))


def _identity(item: Any) -> Any:
    return item


def _rates(system: VCMSystem, items: Iterable[dict[str, Any]]) -> Iterator[float]:
    """Bits per pixel of pictures; pictures of equal size are encoded together."""
    for (height, width), group in groupby(items, lambda item: true_size(item["data_samples"])):
        while part := list(islice(group, max(1, _PIXELS // (height * width)))):
            batch = {name: [item[name] for item in part] for name in part[0]}
            pictures = system.data_preprocessor(batch, False)["inputs"][..., :height, :width]
            for coded in system.transmitter.encode(pictures):
                yield 8 * len(coded) / (height * width)
