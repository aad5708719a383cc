"""A rehearsal of a training: data, weights, one real step, one real evaluation; nothing is kept."""

from __future__ import annotations

import contextlib
import io
import math
import shutil
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from vcm_mt.errors import DataError
from vcm_mt.training.config import check_inputs, use_amp
from vcm_mt.training.processes import peak_memory
from vcm_mt.training.runner import build_runner
from vcm_mt.training.survey import Survey, survey
from vcm_mt.training.weights import named_weights
from vcm_mt.training.work_dir import check_work_dirs

GB = 1e9


class Step(NamedTuple):
    """One step of training.

    Attributes:
        pictures: Batch size.
        loss: What the step reported.
        seconds: How long it took, loading apart.
        peak: Peak memory in bytes: the GPU's, or this process's.
    """

    pictures: int
    loss: float
    seconds: float
    peak: int


class Evaluation(NamedTuple):
    """One picture's evaluation.

    Attributes:
        seconds: How long it took.
        coding: See :func:`vcm_mt.models.score.score`; ``None`` where nothing is coded.
        found: Instances found, by task.
        metrics: What the config's evaluators make of this one picture.
    """

    seconds: float
    coding: dict[str, Any] | None
    found: dict[str, int]
    metrics: dict[str, float]


class DryRun(NamedTuple):
    """What a dry run found.

    Attributes:
        data: The pictures to train on, and those to validate on.
        weights: A line per file.
        trained: Number of parameters that training changes.
        frozen: Number of the others.
        one: A step on the largest picture alone.
        step: A step on the batch size that the config asks for; ``None`` where it will not fit.
        batch: That batch size.
        fixed: Memory in bytes without any picture.
        memory: What the machine, or its GPU, has in bytes.
        evaluation: The largest picture of the validation set.
        iterations: Of the whole training.
        validations: Of the whole training.
        work_dir: Where checkpoints will go.
        checkpoints: How many there will be at most at a time.
        checkpoint_bytes: Size of one.
        free: Bytes free there.
    """

    data: list[Survey]
    weights: list[str]
    trained: int
    frozen: int
    one: Step
    step: Step | None
    batch: int
    fixed: int
    memory: int
    evaluation: Evaluation
    iterations: int
    validations: int
    work_dir: Path
    checkpoints: int
    checkpoint_bytes: int
    free: int

    @property
    def needed(self) -> int:
        """Estimate of a batch's memory in bytes, from the step on one picture."""
        return self.fixed + self.batch * (self.one.peak - self.fixed)

    @property
    def problems(self) -> list[str]:
        """What would stop the training, each with what to do."""
        found = []
        if self.step is None:
            fitting = max(1, (self.memory - self.fixed) // (self.one.peak - self.fixed))
            found.append(
                f"a batch of {self.batch} needs about {self.needed / GB:.1f} GB and there are "
                f"{self.memory / GB:.1f}: set train_dataloader.batch_size={fitting}"
            )
        if not math.isfinite((self.step or self.one).loss):
            found.append("the loss is not finite: look at the weights and at the learning rate")
        wanted = self.checkpoints * self.checkpoint_bytes
        if wanted > self.free:
            found.append(
                f"{self.checkpoints} checkpoints need {wanted / GB:.1f} GB and {self.work_dir} has "
                f"{self.free / GB:.1f}: give another --work-dir"
            )
        return found

    @property
    def seconds(self) -> float:
        """The whole training, as if all pictures were as large as the largest."""
        step = self.step or self.one._replace(seconds=self.one.seconds * self.batch)
        _, val = self.data
        return step.seconds * self.iterations + (
            self.evaluation.seconds * val.pictures * self.validations
        )


def dry_run(config: Config, work_dir: Path, amp: str | None = None) -> DryRun:
    """Rehearse a training; see :func:`vcm_mt.training.run.train` for the arguments.

    Raises:
        DataError: Names everything that is missing, weights that are published elsewhere
            included, or every broken picture of a sample.
        ConfigError: When the config's parts do not fit together, or ``work_dir`` cannot be
            written.
    """
    check_work_dirs([work_dir])
    config = config.copy()
    config.pop("levels", None)
    published = named_weights(config)
    check_inputs(config, weights=[w.path for w in published if not w.is_here()])
    use_amp(config, amp)
    # What the libraries print on the way is not what is read here.
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        config.merge_from_dict(
            {"work_dir": folder, "launcher": "none", "log_level": "ERROR", "load_from": None}
        )
        config.visualizer = {"type": "Visualizer"}
        return _rehearse(build_runner(config), config, work_dir, Path(folder))


def _rehearse(runner: Runner, config: Config, work_dir: Path, folder: Path) -> DryRun:
    loader = runner.build_dataloader(config.train_dataloader)
    val_loader = runner.build_dataloader(config.val_dataloader)
    data = [survey("train", loader.dataset), survey("val", val_loader.dataset)]
    broken = [told for one in data for told in one.broken]
    if broken:
        raise DataError("\n  ".join(("pictures that cannot be trained on:", *broken)))
    runner.optim_wrapper = runner.build_optim_wrapper(config.optim_wrapper)
    batch = config.train_dataloader.batch_size
    fixed = _peak()
    one = _train(runner, loader, data[0].largest, 1)
    fits = fixed + batch * (one.peak - fixed) <= _memory()
    step = _train(runner, loader, data[0].largest, batch) if fits else None
    checkpoint = folder / "checkpoint.pth"
    torch.save([runner.model.state_dict(), runner.optim_wrapper.state_dict()], checkpoint)
    trained = sum(p.numel() for p in runner.model.parameters() if p.requires_grad)
    return DryRun(
        data=data,
        weights=_weights(config),
        trained=trained,
        frozen=sum(p.numel() for p in runner.model.parameters()) - trained,
        one=one,
        step=step,
        batch=batch,
        fixed=fixed,
        memory=_memory(),
        evaluation=_evaluate(runner, config, val_loader, data[1].largest[0]),
        iterations=config.train_cfg.max_iters,
        validations=config.train_cfg.max_iters // config.train_cfg.val_interval,
        work_dir=work_dir,
        checkpoints=_kept_checkpoints(config),
        checkpoint_bytes=checkpoint.stat().st_size,
        free=shutil.disk_usage(_existing(work_dir)).free,
    )


def _train(runner: Runner, loader: Any, largest: list[int], count: int) -> Step:
    """A step on the largest pictures that a batch of the config may hold."""
    batch = loader.collate_fn([loader.dataset[n] for n in islice(cycle(largest), count)])
    runner.model.train()
    start = time.perf_counter()
    loss = runner.model.train_step(batch, runner.optim_wrapper)["loss"].item()
    return Step(count, loss, time.perf_counter() - start, _peak())


def _evaluate(runner: Runner, config: Config, loader: Any, index: int) -> Evaluation:
    batch = loader.collate_fn([loader.dataset[index]])
    runner.model.eval()
    if hasattr(runner.model, "update_tables"):
        runner.model.update_tables()
    start = time.perf_counter()
    with torch.no_grad():
        samples = runner.model.val_step(batch)
    seconds = time.perf_counter() - start
    evaluator = runner.build_evaluator(config.val_evaluator)
    evaluator.dataset_meta = loader.dataset.metainfo
    evaluator.process(samples, batch)
    found = {
        name.removeprefix("pred_"): len(value)
        for name, value in samples[0].items()
        if name.startswith("pred_")
    }
    coding = samples[0].metainfo.get("coding")
    return Evaluation(seconds, coding, found, evaluator.evaluate(1))


def _weights(config: Config) -> list[str]:
    verified = {str(weights.path): weights.digest for weights in named_weights(config)}
    lines = [f"{path}: SHA-256 {digest}... verified" for path, digest in verified.items()]
    for name, part in {"codec": config.model.get("codec"), **config.model.get("tasks", {})}.items():
        source = (part or {}).get("checkpoint")
        if source and source not in verified:
            lines.append(f"{source}: found")
        elif part and "checkpoint" in part and source is None:
            lines.append(f"{name}: random weights")
    return lines


def _kept_checkpoints(config: Config) -> int:
    """As many as the hook keeps, and the one that is being written."""
    hook = config.default_hooks.checkpoint
    kept = hook.get("max_keep_ckpts", -1)
    return 1 + (kept if kept > 0 else config.train_cfg.max_iters // hook.interval)


def _peak() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return peak_memory()


def _memory() -> int:
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[1]
    return psutil.virtual_memory().total


def _existing(path: Path) -> Path:
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
