"""A level given by its rate: lambda is found while the codec is trained."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import torch
from mmengine.dist import all_reduce, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log

from vcm_mt.engine.hooks import unwrapped
from vcm_mt.errors import ConfigError
from vcm_mt.models.latent_scale import scale_latent
from vcm_mt.models.receivers import named_receivers
from vcm_mt.registry import HOOKS

#: d log(rate) / d log(factor of y), about; how often it is tried, and the largest log(factor).
_SLOPE = 0.8
_TRIALS = 6
_LARGEST_TRIM = math.log(1.25)
#: lambda stays this far from 0 and 1, where it could not be steered any more.
_MARGIN = 1e-6


@HOOKS.register_module()
class RateTargetHook(Hook):
    """Steers lambda of equation (1) until validation pictures take a target rate, then holds it.

    Every ``interval`` iterations pictures of the validation set are coded, and their real bytes
    counted. While these are off by more than the tolerance,

        log(lambda / (1 - lambda))  +=  gain * log(target / bpp)

    log(bpp) follows these log-odds with a slope of a quarter to a half, and with a lag, so that a
    gain of 1 neither crawls nor swings. Lambda is held from half the tolerance on, and steered
    again if the rate leaves the tolerance. Where not all validation pictures are coded, each
    validation tells by how much the coded ones differ from all.

    As the learning rate falls the codec follows lambda less and less. What is left at the end is
    taken from the quantiser: y is scaled by a few percent (:func:`scale_latent`), where the codec
    allows it; a target that was missed is told.

    Args:
        bpp: The target, in bits per pixel as :class:`CodingMetric` counts them.
        interval: Iterations between two looks.
        pictures: How many pictures are coded then, spread evenly over the validation set.
        tolerance: Largest relative deviation.
        gain: Step of lambda's log-odds for a deviation by a factor of e.

    Raises:
        ConfigError: For a target that is not above 0.
    """

    priority = "ABOVE_NORMAL"  # in front of EntropyTablesHook, which writes the record

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
        self._correction = 1.0  # of the coded pictures' rate to that of all
        self._trimmed = 1.0
        self._seen: float | None = None  # what was measured last

    def before_train(self, runner: Any) -> None:
        """Look for the first time, if no checkpoint did.

        Raises:
            ConfigError: When the codec has several levels.
        """
        lmbdas = unwrapped(runner).lmbdas
        if len(lmbdas) != 1:
            raise ConfigError("a rate target is for a codec of one level")
        lmbdas[0] = min(max(lmbdas[0], _MARGIN), 1 - _MARGIN)
        if self._seen is None:
            self._look(runner)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Log lambda and the rate, look and steer from time to time."""
        if runner.iter + 1 == runner.max_iters:
            self._trim(runner)
        elif self.every_n_train_iters(runner, self.interval):
            self._steer(runner)
        runner.message_hub.update_scalar("train/lambda", unwrapped(runner).lmbdas[0])
        runner.message_hub.update_scalar("train/bpp_val", self._seen)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Compare the pictures that are coded while training with all of them."""
        if metrics and "bpp" in metrics:
            self._correction *= metrics["bpp"] / self._measure(runner)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Keep lambda and the state of the search with the weights."""
        unwrapped(runner).record["rate_target"] = {
            "target": self.bpp,
            "lmbda": unwrapped(runner).lmbdas[0],
            "bpp": self._seen,
            "holding": self._holding,
            "trimmed": self._trimmed,
            "correction": self._correction,
        }

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Go on where a resumed training was.

        Raises:
            ConfigError: When that was on its way to another target.
        """
        if not runner.cfg.get("resume"):
            return  # weights to start from
        state = json.loads(checkpoint["meta"]["record"]).get("rate_target", {"target": "no"})
        if state["target"] != self.bpp:
            raise ConfigError(
                f"the checkpoint was trained for {state['target']} bpp, not {self.bpp}: "
                "start anew in another --work-dir"
            )
        unwrapped(runner).lmbdas[0], self._seen = state["lmbda"], state["bpp"]
        self._holding, self._correction = state["holding"], state["correction"]
        self._trimmed = state["trimmed"]

    def _steer(self, runner: Any) -> None:
        error = self._look(runner)
        limit = math.log1p(self.tolerance) * (1.0 if self._holding else 0.5)
        self._holding = abs(error) <= limit
        if self._holding:
            return
        lmbdas = unwrapped(runner).lmbdas
        odds = math.log(lmbdas[0] / (1 - lmbdas[0])) + self.gain * error
        lmbdas[0] = min(max(1 / (1 + math.exp(-odds)), _MARGIN), 1 - _MARGIN)

    def _trim(self, runner: Any) -> None:
        """Scale y until the rate is right, as far as that can be had by a small factor."""
        system = unwrapped(runner)
        receivers = [receiver for _, receiver in named_receivers(system.receivers)]
        error, slope = self._look(runner), _SLOPE
        for _ in range(_TRIALS):
            step = min(max(error / slope, -_LARGEST_TRIM), _LARGEST_TRIM)
            room = math.log(self._trimmed) + step
            if abs(error) <= math.log1p(self.tolerance) / 3 or abs(room) > _LARGEST_TRIM:
                break
            try:
                scale_latent(system.transmitter, receivers, math.exp(step))
            except ConfigError as reason:  # a training must not be lost to this; it is told below
                print_log(f"no trimming: {reason}", logger="current", level=logging.WARNING)
                break
            self._trimmed *= math.exp(step)
            before, error = error, self._look(runner)
            slope = max((before - error) / step, _SLOPE / 2)
        if abs(error) > math.log1p(self.tolerance):
            print_log(
                f"the target of {self.bpp} bpp was missed: train longer, or start from a lambda "
                f"nearer to {system.lmbdas[0]:.5f}",
                logger="current",
                level=logging.WARNING,
            )

    def _look(self, runner: Any) -> float:
        """log(target / bpp), and tell."""
        self._seen = self._measure(runner)
        print_log(
            f"rate target {self.bpp:.4f}: {self._seen:.4f} bpp at lambda "
            f"{unwrapped(runner).lmbdas[0]:.5f} ({self._seen / self.bpp - 1:+.1%})",
            logger="current",
        )
        return math.log(self.bpp / self._seen)

    @torch.no_grad()
    def _measure(self, runner: Any) -> float:
        """Mean real rate of the validation pictures, each process coding its share."""
        system = unwrapped(runner)
        dataset = runner.val_loop.dataloader.dataset
        count = min(self.pictures, len(dataset))
        chosen = [index * len(dataset) // count for index in range(count)]
        mode = system.training
        system.eval()
        system.update_tables()
        total = torch.zeros(())
        for index in chosen[get_rank() :: get_world_size()]:
            item = dataset[index]
            batch = {name: [value] for name, value in item.items()}
            data = system.data_preprocessor(batch, False)
            height, width = data["data_samples"][0].img_shape[:2]
            (coded,) = system.transmitter.encode(data["inputs"][..., :height, :width])
            total += 8 * len(coded) / (height * width)
        system.train(mode)
        total = total.to(data["inputs"].device)
        all_reduce(total)
        return self._correction * float(total) / count
