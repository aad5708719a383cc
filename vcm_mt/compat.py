"""The version gate: what is installed is checked once, at import.

Otherwise a mismatch shows much later, as the error of a library that the user never called.
Distributions are looked up by their metadata, which takes milliseconds and imports nothing heavy.
OpenMMLab's modules come in two sets of distributions, ``onedl-*`` and the originals. Either set
passes. A mixture does not, because each overwrites the files of the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version

# Per module the distributions that may provide it, the one to install by default first. The ranges
# are those of setup.cfg, which says where they come from.
RANGES: Mapping[str, Mapping[str, str]] = {
    "torch": {"torch": ">=2.4,<2.12"},
    "torchvision": {"torchvision": ">=0.19,<0.27"},
    "numpy": {"numpy": ">=1.26,<2"},
    "compressai": {"compressai": ">=1.2.8,<1.3"},
    "mmengine": {"onedl-mmengine": ">=0.10.10,<0.11", "mmengine": ">=0.10.4,<0.11"},
    "mmcv": {"onedl-mmcv": ">=2.3.4,<2.4", "mmcv": ">=2.1,<2.2", "mmcv-lite": ">=2.1,<2.2"},
    "mmdet": {"onedl-mmdetection": ">=3.5,<3.6", "mmdet": ">=3.3,<3.4"},
}
OPENMMLAB = ("mmengine", "mmcv", "mmdet")
MMENGINE_TORCH = "<2.6"  # the original can't load its own checkpoints under later ones
MMDET_MMCV = "<2.2"  # asserted in the original's __init__
TORCHVISION_AHEAD = 15  # minor versions: torchvision 0.19 belongs to torch 2.4, 0.23 to 2.8

#: Per module, the versions of the distributions that provide it.
Found = Mapping[str, Mapping[str, str]]


class IncompatibleError(ImportError):
    """The installed packages don't fit; the message ends with the commands that mend it."""


def check_versions() -> None:
    """Check everything that ``RANGES`` names.

    Raises:
        IncompatibleError: Something is missing, out of range, there twice or made for another.
    """
    found = {module: find_installed(module) for module in RANGES}
    problems = list(_problems_alone(found)) or list(_problems_together(found))
    if problems:
        reasons = "".join(f"\n  - {reason}" for reason, _ in problems)
        commands = fix_commands({module for _, module in problems}, found)
        raise IncompatibleError(
            f"vcm_mt can't work with the packages installed here:{reasons}\n"
            "These commands mend it:" + "".join(f"\n    {command}" for command in commands)
        )


def find_installed(module: str) -> dict[str, str]:
    """Every distribution that provides the module, with its version."""
    found = {}
    for name in RANGES[module]:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if not found and find_spec(module):  # no distribution, but a folder on the path
        found[module] = import_module(module).__version__
    return found


def fix_commands(wrong: set[str], found: Found) -> Iterator[str]:
    """The commands, in order, that install the named modules as they should be."""
    plain = [module for module in RANGES if module in wrong and module not in OPENMMLAB]
    openmmlab = wrong.intersection(OPENMMLAB)
    if "torch" in wrong and found["mmcv"]:
        openmmlab.add("mmcv")  # its compiled part belongs to one torch
    originals = _keeps_originals(found)
    if openmmlab and not originals:  # distributions of a set require others of their set
        openmmlab.update(m for m in OPENMMLAB if not set(found[m]) <= {_default(m)})
    if replaced := [name for m in OPENMMLAB if m in openmmlab for name in found[m]]:
        yield f"pip uninstall -y {' '.join(replaced)}"
    if "torchvision" in plain and "torch" not in plain:
        minor = Version(found["torch"]["torch"]).minor
        pair = f'"torch==2.{minor}.*" "torchvision==0.{minor + TORCHVISION_AHEAD}.*"'
        yield f"pip install --force-reinstall {pair}"
        plain.remove("torchvision")
    if plain:
        yield f"pip install {' '.join(_requirement(m, _default(m)) for m in plain)}"
    if openmmlab:
        # mmcv is built here, against the torch that is installed; numpy would be upgraded else.
        names = {m: m if originals else _default(m) for m in OPENMMLAB if m in openmmlab}
        wanted = [_requirement(m, name) for m, name in {"numpy": "numpy", **names}.items()]
        yield 'pip install "setuptools>=80,<81" packaging ninja'
        yield f"pip install --no-build-isolation --no-cache-dir {' '.join(wanted)}"


def _problems_alone(found: Found) -> Iterator[tuple[str, str]]:
    """What is wrong with single modules: the reason, and the module to install anew."""
    for module, versions in found.items():
        (name, version), *others = versions.items() or [("", "")]
        if not name:
            yield f"{module} is missing", module
        elif others:
            both = " and ".join(versions)
            yield f"{both} both install {module}: each overwrites the other", module
        elif not _within(version, wanted := RANGES[module][name]):
            yield f"{name} is {version}, wanted is {wanted}", module
        elif module == "mmcv" and not _has_compiled_ops():
            yield f"{name} was installed without its compiled ops", module


def _problems_together(found: Found) -> Iterator[tuple[str, str]]:
    """What is wrong with modules that are fine one by one."""
    torch, torchvision = found["torch"]["torch"], found["torchvision"]["torchvision"]
    if not _torchvision_fits(torch, torchvision):
        trap = "operator torchvision::nms does not exist"
        reason = f'torchvision {torchvision} was not built for torch {torch} ("{trap}")'
        yield reason, "torchvision"
    if (version := found["mmengine"].get("mmengine")) and not _within(torch, MMENGINE_TORCH):
        reason = f"mmengine {version} can't load checkpoints under torch {torch}"
        yield f"{reason}, only {MMENGINE_TORCH}", "mmengine"
    ((mmcv, at),) = found["mmcv"].items()
    if (version := found["mmdet"].get("mmdet")) and not _within(at, MMDET_MMCV):
        yield f"mmdet {version} refuses {mmcv} {at}, only {MMDET_MMCV}", "mmdet"


def _within(version: str, specifier: str) -> bool:
    """Compare the release alone: 2.11.0a0+nv counts as 2.11.0."""
    return SpecifierSet(specifier).contains(Version(version).base_version)


def _torchvision_fits(torch: str, torchvision: str) -> bool:
    """Whether the two are of one family, in release and in build (+cpu, +cu128, none)."""
    if Version(torch).minor + TORCHVISION_AHEAD != Version(torchvision).minor:
        return False
    if Version(torch).local != Version(torchvision).local:
        try:  # differing builds may or may not work; only here is the heavy import needed to know
            import_module("torchvision")
        except (ImportError, RuntimeError):
            return False
    return True


def _has_compiled_ops() -> bool:
    """Whether mmcv's extension module is there, without importing mmcv, and with it torch."""
    spec = find_spec("mmcv")
    places = (spec.submodule_search_locations if spec else None) or []
    names = [f"_ext{suffix}" for suffix in EXTENSION_SUFFIXES]
    return any(Path(place, name).is_file() for place in places for name in names)


def _keeps_originals(found: Found) -> bool:
    """Whether to stay with the original distributions: they alone are there, and torch suits."""
    there = {name for module in OPENMMLAB for name in found[module]}
    if not there or there & {_default(module) for module in OPENMMLAB}:
        return False
    return _within(found["torch"].get("torch", "3"), MMENGINE_TORCH)


def _default(module: str) -> str:
    """The distribution that is installed by default."""
    return next(iter(RANGES[module]))


def _requirement(module: str, name: str) -> str:
    """What to hand to pip for a distribution of the module."""
    return f'"{name}{RANGES[module][name]}"'
