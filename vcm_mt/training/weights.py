"""Published weights that a config names: where from and where to, whose, and whole or not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from torch.hub import download_url_to_file

from vcm_mt.errors import ConfigError, DataError, told
from vcm_mt.models.tasks.mmaction_import import import_mmaction
from vcm_mt.models.tasks.mmpose_import import import_mmpose
from vcm_mt.training.config import at_level, qualities

_SECONDS = 30
_LICENCES = {
    "mmdet": "Apache-2.0 (mmdet's model zoo)",
    "mmpose": "Apache-2.0 (mmpose's model zoo)",
    "mmseg": "Apache-2.0 (mmsegmentation's model zoo)",
    "mmaction": "Apache-2.0 (mmaction2's model zoo)",
    "yolox": "Apache-2.0 (YOLOX's authors)",
    "compressai": "BSD-3-Clause-Clear (CompressAI)",
    "torchvision": "BSD-3-Clause (torchvision)",
    "": "see its address",
}
#: What a task calls its network, and the package that publishes it.
_NETWORKS = {
    "detector": "mmdet",
    "tracker": "mmdet",
    "estimator": "mmpose",
    "segmentor": "mmseg",
    "recognizer": "mmaction",
}
#: Where YOLOX's authors publish their networks; mmdet has the smallest one's config alone.
_YOLOX = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/"


class Weights(NamedTuple):
    """A published file.

    Attributes:
        path: Where the package looks for it.
        url: Where it is published.
        source: A key of the licences known here.
    """

    path: Path
    url: str
    source: str

    @property
    def digest(self) -> str:
        """The start of its SHA-256, which the published name holds; empty where it does not."""
        found = re.search(r"-([0-9a-f]{8,64})(_\d{8})?\.", _name(self.url))  # mmpose: and a date
        return found[1] if found else ""

    @property
    def licence(self) -> str:
        """Its licence, and whose it is."""
        return _LICENCES[self.source]

    def is_here(self) -> bool:
        """Whether the file is there and is the published one.

        Raises:
            DataError: When another file, or a part of it, bears the name.
        """
        if not self.path.is_file():
            return False
        found = _sha256(self.path)
        if not found.startswith(self.digest):
            raise DataError(
                f"{self.path} is not what is published (SHA-256 {found[:16]}..., not "
                f"{self.digest}...): fetch it again with `vcm-mt download`"
            )
        return True

    def size(self) -> int | None:
        """Its size in bytes by its server; ``None`` where that does not say.

        Raises:
            DataError: When the server is out of reach.
        """
        try:
            with urlopen(Request(self.url, method="HEAD"), timeout=_SECONDS) as answer:
                length = answer.headers.get("Content-Length")
        except HTTPError:
            return None  # fetching it says what is the matter
        except (OSError, HTTPException) as error:
            raise self._out_of_reach(error) from error
        return int(length) if length else None

    def fetch(self) -> None:
        """Download it by torch.hub's loader: whole, with the right digest, or not at all.

        Raises:
            DataError: When it could not be had.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            download_url_to_file(self.url, str(self.path), self.digest or None)
        except RuntimeError as error:  # the digest
            raise DataError(
                f"what {self.url} sent is not what is published there ({error}): try again"
            ) from error
        except (OSError, HTTPException) as error:
            raise self._out_of_reach(error) from error

    def _out_of_reach(self, error: Exception) -> DataError:
        return DataError(
            f"{self.url} could not be fetched ({error}). On a machine without network access, "
            f"put the file at {self.path}"
        )


def named_weights(config: Config) -> list[Weights]:
    """The published weights that a config's tasks and codecs name.

    Those of the zoo inside the package need no download, and files of one's own are not
    published.

    Raises:
        ConfigError: When a codec's level is not in CompressAI's zoo.
    """
    levels = [at_level(config, quality) for quality in qualities(config)] or [config]
    found = [
        weights
        for model in (*(level.model for level in levels), {"tasks": config.get("tasks", {})})
        for weights in (*_of_tasks(model.get("tasks", {})), *_of_codec(model.get("codec", {})))
    ]
    return list(dict.fromkeys(found))


def provide(weights: Weights) -> None:
    """Fetch a file unless it is there, and print what it is.

    Raises:
        DataError: When it could not be had.
    """
    try:
        here = weights.is_here()
    except DataError as error:
        print(told(error))
        here = False
    if not here:
        size = weights.size()
        told_size = f"{size / 1e6:.1f} MB" if size is not None else "size unknown"
        print(f"{weights.url}: {told_size}, {weights.licence}", flush=True)
        weights.fetch()
    digest = f"SHA-256 {weights.digest}... verified" if weights.digest else "no digest published"
    print(f"{weights.path}: here, {digest}, {weights.licence}")


def codec_weights(arch: str, levels: Iterable[int | None] | None = None) -> list[Weights]:
    """CompressAI's weights of a codec, where its own loader looks for them.

    Args:
        arch: A name of CompressAI's zoo.
        levels: Quality levels; default all.

    Raises:
        ConfigError: When CompressAI publishes none for that codec or level.
    """
    from compressai.zoo.image import model_urls  # takes seconds, and few configs need it

    published = model_urls.get(arch, {}).get("mse", {})
    wanted = list(published if levels is None else levels)
    unknown = [level for level in wanted if level not in published]
    if unknown or not published:
        there = f"levels {', '.join(map(str, published))}" if published else ", ".join(model_urls)
        raise ConfigError(f"CompressAI has no weights of {arch}, level {unknown}; it has {there}")
    return [_in_cache(published[level], "compressai") for level in wanted]


def _of_codec(codec: Any) -> list[Weights]:
    if not codec.get("pretrained"):
        return []
    return codec_weights(codec["arch"], [codec.get("quality")])


def _of_tasks(tasks: Any) -> Iterator[Weights]:
    from torchvision.models import VGG16_Weights

    vgg = VGG16_Weights.IMAGENET1K_V1.url
    boxes = [task["boxes"] for task in tasks.values() if isinstance(task.get("boxes"), dict)]
    for task in [*tasks.values(), *boxes]:
        given = task.get("checkpoint") or (task.get("perceptual") and task.get("vgg")) or ""
        if given.startswith(("http://", "https://")):
            yield _in_cache(given, "torchvision" if given == vgg else "")
        elif _name(given) == _name(vgg):
            yield Weights(Path(given), vgg, "torchvision")
        elif re.fullmatch(r"yolox_(nano|tiny|s|m|l|x)\.pth", _name(given)):
            yield Weights(Path(given), _YOLOX + _name(given), "yolox")
        else:
            for key, source in _NETWORKS.items():
                network = str(task.get(key, ""))
                if given and network.startswith(f"{source}::"):
                    published = _published(network)
                    if _name(published) == _name(given):
                        yield Weights(Path(given), published, source)


def _published(network: str) -> str:
    """Where mmdet or mmpose publishes a network's weights; empty where it does not."""
    if network.startswith("mmpose::"):
        import_mmpose()  # else mmengine would install it
    if network.startswith("mmaction::"):
        import_mmaction()
    try:
        url: str = get_config(network, pretrained=True).model_path
    except (AssertionError, AttributeError):  # the config is in no metafile, or without weights
        return ""
    return url


def _in_cache(url: str, source: str) -> Weights:
    return Weights(Path(torch.hub.get_dir(), "checkpoints", _name(url)), url, source)


def _name(url: str) -> str:
    return Path(urlsplit(url).path).name


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
