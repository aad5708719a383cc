"""From a config file to one that is ready to run: levels, folders, and a check of the inputs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from vcm_mt.checkpoint import ZOO_PREFIX, zoo_path
from vcm_mt.config_path import SCOPE, config_path
from vcm_mt.errors import ConfigError, DataError

EMBEDDED = (
    "Or try the embedded set, which needs no download: vcm-mt prepare, "
    "then vcm-mt train vcm_mt::mini/stage1_det.py"
)

#: What a config says to those that read it; all else in it are names of its own.
_READ = {
    *inspect.signature(Runner.__init__).parameters,
    # The Runner reads these from the config as a whole.
    *("model_wrapper_cfg", "compile", "sync_bn", "find_unused_parameters"),
    *("activation_checkpointing", "efficient_conv_bn_eval", "resource_limit"),
    *("levels", "rate_target", "inputs_hint", "stage1", "task", "tasks", "evaluators"),
    "test_evaluators",
}


def load_config(path: str | Path, options: dict[str, Any] | None = None) -> Config:
    """Read a config file and apply ``--cfg-options``.

    Args:
        path: A file, or the name of a config that is shipped with the package, as
            ``vcm_mt::mini/stage1_det.py``. ``_base_`` inside it takes both as well.
        options: Settings to change, by their dotted names.

    Raises:
        ConfigError: When there is no such file, or it is no config.
    """
    found = config_path(path)
    try:
        config = Config.fromfile(found)
    except (OSError, SyntaxError, UnicodeError) as error:
        raise ConfigError(f"{path} cannot be read as a config: {error}") from error
    except Exception as error:  # a config is a program, which may fail in any way
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if "_get_package_and_cfg_path" in reason:  # mmengine's, of a name without a folder
            reason = (
                "_base_ names a package's config with its folder, as vcm_mt::mini/stage1_det.py "
                "or vcm_mt::_base_/../stage1_det.py"
            )
        raise ConfigError(f"{path} cannot be read as a config: {reason}") from error
    if options:
        _check_options(config, options)
        config.merge_from_dict(options)
    for split in ("train", "val", "test"):
        _without_workers(config.get(f"{split}_dataloader") or {})
    return config


def default_config(name: str) -> str:
    """The user's own ``configs/NAME`` below the working directory, or the one that is shipped."""
    own = Path("configs", name)
    return str(own) if own.is_file() else f"{SCOPE}::{name}"


def _check_options(config: Config, options: dict[str, Any]) -> None:
    """Refuse options that would change nothing: a training goes on for days before that shows."""
    settings = config.to_dict()
    by_levels = {f"model.{key}" for entry in settings.get("levels") or () for key in _keys(entry)}
    by_levels |= {"model.quality"} if by_levels else set()
    for option in options:
        name = option.split(".")[0]
        if option in by_levels:
            raise ConfigError(
                f"--cfg-options {option}: the levels of {config.filename} set it; change it there, "
                f"for level 1 as levels.0{option.removeprefix('model')}"
            )
        if name not in settings and name not in _READ:
            raise ConfigError(f"--cfg-options {option}: no config has a setting {name!r}")
        if name not in _READ:
            made = (key for key in _keys(settings) if key.endswith(f".{name}"))
            raise ConfigError(
                f"--cfg-options {option}: {name} is a name that {config.filename} uses while it "
                "is read, to change it afterwards changes nothing; set what is made of it: "
                + ", ".join(key for key in made if key.split(".")[0] in _READ)
            )


def _keys(part: dict[str, Any] | Sequence[Any]) -> Iterator[str]:
    """Whatever is set inside a part of a config, as ``--cfg-options`` spell it."""
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        if isinstance(value, dict) or (isinstance(value, list) and value):
            yield from (f"{key}.{rest}" for rest in _keys(value))
        else:
            yield str(key)


def _without_workers(loader: Any) -> None:
    """PyTorch refuses settings of workers where there are none."""
    if loader.get("num_workers") == 0:
        loader["persistent_workers"] = False
        for name in ("timeout", "prefetch_factor"):
            loader.pop(name, None)


def qualities(config: Config) -> list[int]:
    """The quality levels that a config knows, from 1; empty for a config without levels."""
    return list(range(1, len(config.get("levels", [])) + 1))


def at_level(config: Config, quality: int) -> Config:
    """The config of one rate point: what ``levels`` says of it, merged into the model.

    An entry's ``target_bpp`` becomes a :class:`vcm_mt.engine.RateTargetHook`, with what the config
    says under ``rate_target``. Of a codec of variable rate the level is the one that is looked at.

    Raises:
        ConfigError: When the config has no such level, or its lambda lies outside [0, 1].
    """
    level = config.copy()
    if gains := config.model.get("gains"):
        if quality > len(gains):
            raise ConfigError(f"{config.filename} has levels 1 to {len(gains)}, not {quality}")
        level.merge_from_dict({"model": {"quality": quality}})
        return level
    entry = dict(_entry(config, quality))
    entry.pop("after", None)
    if target := entry.pop("target_bpp", None):
        hook = {"type": "RateTargetHook", "bpp": target, **config.get("rate_target", {})}
        level.custom_hooks = [*config.get("custom_hooks", []), hook]
    level.merge_from_dict({"model": entry})
    level.model.quality = quality
    lmbda = level.model.get("lmbda")
    if not isinstance(lmbda, int | float):
        raise ConfigError(
            f"{config.filename}, level {quality}: give a number as lmbda, the one to start from "
            "where there is a target_bpp"
        )
    if not 0 <= lmbda <= 1:
        raise ConfigError(
            f"{config.filename}, level {quality}: lambda must lie in [0, 1], "
            f"not {level.model.lmbda}"
        )
    return level


def one_rate(config: Config, quality: int) -> Config:
    """The config of one rate of a codec for several, as a codec of its own."""
    level = at_level(config, quality)
    if level.model.get("gains"):
        own = {"gains": [], "level_weights": [], "lmbda": level.model.lmbda[quality - 1]}
        level.merge_from_dict({"model": own})
    return level


def level_before(config: Config, quality: int) -> int | None:
    """The level whose trained weights this one goes on from, its entry's ``after``.

    Raises:
        ConfigError: When the config has no such level.
    """
    before: int | None = _entry(config, quality).get("after")
    if before is not None:
        _entry(config, before)
    return before


def training_order(config: Config, levels: Iterable[int]) -> list[int]:
    """The levels, those that others go on from first.

    Raises:
        ConfigError: When levels wait for each other, or the config lacks one.
    """
    order: list[int] = []
    wanted = set(levels)
    while wanted:
        ready = [q for q in sorted(wanted) if level_before(config, q) not in wanted]
        if not ready:
            raise ConfigError(f"{config.filename}: levels {sorted(wanted)} wait for each other")
        order += ready
        wanted -= set(ready)
    return order


def chains(config: Config, levels: Iterable[int]) -> list[list[int]]:
    """The levels in groups that do not need each other, each in the order of its training."""
    found: list[list[int]] = []
    for quality in training_order(config, levels):
        before = level_before(config, quality)
        for chain in found:
            if before in chain:
                chain.append(quality)
                break
        else:
            found.append([quality])
    return found


def _entry(config: Config, quality: int) -> Any:
    known = qualities(config)
    if quality not in known:
        raise ConfigError(
            f"quality {quality} is out of range: {config.filename} has levels "
            f"{known[0]} to {known[-1]}"
            if known
            else f"{config.filename} has no levels"
        )
    return config.levels[quality - 1]


def default_work_dir(config: Config) -> Path:
    """``work_dirs/`` and the config's place below ``configs/``."""
    parts = Path(config.filename).with_suffix("").parts
    below = parts[::-1].index("configs") if "configs" in parts else 1
    return Path("work_dirs", *parts[-below:])


def check_inputs(
    config: Config,
    splits: Sequence[str] = ("train", "val", "test"),
    weights: Sequence[Path] = (),
) -> None:
    """Look for the data and weights that a config names, before anything runs.

    Args:
        config: A config.
        splits: Whose data are needed: those that only measure need no training set.
        weights: More files that are known to be missing.

    Raises:
        DataError: Names everything that is missing and where to put it.
    """
    missing = [
        f"  {place}: {what}"
        for split in splits
        if config.get(f"{split}_dataloader")
        for place, what in _missing_data(config[f"{split}_dataloader"].dataset)
    ]
    missing += [
        f"  {path}: annotations of an evaluator"
        for split in splits
        for path in _missing_truths(config.get(f"{split}_evaluator"))
    ]
    missing += [f"  {path}: weights" for path in (*_missing_weights(config.model), *weights)]
    if missing:
        told = "\n".join(dict.fromkeys(missing))
        hint = config.get("inputs_hint", "").strip()
        raise DataError("\n".join(filter(None, ("missing:", told, hint, EMBEDDED))))


def _missing_data(dataset: Any) -> list[tuple[Path, str]]:
    root = Path(dataset.get("data_root") or "")
    if "ann_file" not in dataset:
        return [] if root.is_dir() else [(root, "folder of pictures")]
    places = [(root / dataset.ann_file, "annotations, COCO format")]
    if any(step["type"].endswith("LoadPicture") for step in dataset.pipeline):
        places += [(root / p, "folder of pictures") for p in dataset.data_prefix.values()]
    return [(place, what) for place, what in places if not place.exists()]


def _missing_truths(evaluators: Any) -> list[Path]:
    several = evaluators if isinstance(evaluators, list | tuple) else [evaluators]
    paths = [Path(one["ann_file"]) for one in several if one and one.get("ann_file")]
    return [path for path in paths if not path.exists()]


def _missing_weights(model: Any) -> list[Path]:
    if isinstance(model, dict):
        found = [_weights_file(model["checkpoint"])] if model.get("checkpoint") else []
        return [p for p in found if p and not p.is_file()] + [
            path for value in model.values() for path in _missing_weights(value)
        ]
    return []


def _weights_file(source: str) -> Path | None:
    if source.startswith(("http://", "https://")):
        return None
    if source.startswith(ZOO_PREFIX):
        return zoo_path(source.removeprefix(ZOO_PREFIX))
    return Path(source)


def use_amp(config: Any, amp: str | None) -> None:
    """Let ``--amp`` decide for the transforms, and for the tasks whose config has a precision."""
    if amp is None:
        return
    config.model.amp = amp
    for task in config.model.get("tasks", {}).values():
        if "amp" in task:
            task.amp = amp
