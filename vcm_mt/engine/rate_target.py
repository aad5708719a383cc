"""A level given by its rate: lambda is found while the codec is trained."""

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

#: d log(rate) / d log(factor of y), about; how often it is tried, and the largest log(factor).
_SLOPE = 0.8
_TRIALS = 6
_LARGEST_TRIM = math.log(1.25)
#: Pixels that are coded together at most: more are no quicker on a CPU.
_PIXELS = 1 << 20
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
    """Items of a loader's dataset, by size, loaded as the loader does."""

    def size(index: int) -> tuple[int, int]:
        info = loader.dataset.get_data_info(index)  # type: ignore[attr-defined]
        return info.get("height", 0), info.get("width", 0)

    if not chosen:
        return iter(())
    same = ("num_workers", "timeout", "worker_init_fn", "multiprocessing_context")
    settings = {name: getattr(loader, name) for name in same}
    settings["generator"] = torch.Generator()  # the training's own stays where it is
    pictures = Subset(loader.dataset, sorted(chosen, key=size))
    return iter(DataLoader(pictures, batch_size=None, collate_fn=_as_it_is, **settings))


def _as_it_is(item: Any) -> Any:
    return item


def _rates(system: VCMSystem, items: Iterable[dict[str, Any]]) -> Iterator[float]:
    """Bits per pixel of pictures, those of one size coded together."""
    for (height, width), group in groupby(items, lambda item: true_size(item["data_samples"])):
        while part := list(islice(group, max(1, _PIXELS // (height * width)))):
            batch = {name: [item[name] for item in part] for name in part[0]}
            pictures = system.data_preprocessor(batch, False)["inputs"][..., :height, :width]
            for coded in system.transmitter.encode(pictures):
                yield 8 * len(coded) / (height * width)
