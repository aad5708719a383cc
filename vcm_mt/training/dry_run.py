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
from mmengine.structures import InstanceData

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
        loss: The loss of the step.
        seconds: Time of the step without loading.
        peak: Peak memory of the GPU, or else of this process, in bytes.
    """

    pictures: int
    loss: float
    seconds: float
    peak: int


class Evaluation(NamedTuple):
    """One picture's evaluation.

    Attributes:
        seconds: Time of the evaluation.
        coding: See :func:`vcm_mt.models.score.score`; ``None`` if nothing is coded.
        found: Number of instances found, by task; 1 for a map, nothing of a task that waits for
            the end of a video.
        metrics: Scores of the config's evaluators for this one picture.
    """

    seconds: float
    coding: dict[str, Any] | None
    found: dict[str, int]
    metrics: dict[str, float]


class DryRun(NamedTuple):
    """Result of a dry run.

    Attributes:
        data: Surveys of the training and the validation set.
        weights: One line per file of weights.
        trained: Number of trained parameters.
        frozen: Number of frozen parameters.
        one: A step on the largest picture alone.
        step: A step with the config's batch size; ``None`` if it does not fit into memory.
        batch: The config's batch size.
        fixed: Memory in bytes without any picture.
        memory: Memory of the GPU, or else of the machine, in bytes.
        evaluation: Evaluation of the largest picture of the validation set.
        iterations: Number of iterations of the whole training.
        validations: Number of validations of the whole training.
        work_dir: Folder of the checkpoints.
        checkpoints: Largest number of checkpoints at a time.
        checkpoint_bytes: Size of one checkpoint in bytes.
        free: Free bytes in ``work_dir``.
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
        """Memory that a batch needs, in bytes, estimated from the step on one picture."""
        return self.fixed + self.batch * (self.one.peak - self.fixed)

    @property
    def problems(self) -> list[str]:
        """What would stop the training, each with a remedy."""
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
        """Time of the whole training if all pictures were as large as the largest."""
        step = self.step or self.one._replace(seconds=self.one.seconds * self.batch)
        _, val = self.data
        return step.seconds * self.iterations + (
            self.evaluation.seconds * val.pictures * self.validations
        )


def dry_run(config: Config, work_dir: Path, amp: str | None = None) -> DryRun:
    """Check a training before it starts; :func:`vcm_mt.training.run.train` has the arguments.

    Raises:
        DataError: When data or weights are missing or pictures of a sample are broken; names all
            of them.
        ConfigError: When the config's parts do not fit together, or ``work_dir`` cannot be
            written.
    """
    check_work_dirs([work_dir])
    config = config.copy()
    config.pop("levels", None)
    published = named_weights(config)
    check_inputs(config, weights=[w.path for w in published if not w.is_here()])
    use_amp(config, amp)
    # The libraries' own output is not part of the report.
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
    """A step on the largest possible batch of ``count`` pictures."""
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
        name.removeprefix("pred_"): len(value) if isinstance(value, InstanceData) else 1
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
    """The number that the hook keeps, and the one that is being written."""
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
