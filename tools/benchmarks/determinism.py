"""Check that streams encoded under one setting of a machine decode under every other.

python tools/benchmarks/determinism.py --pictures 200 --torch 2.9.1

Each setting runs in a process of its own: threads, batches, bfloat16, oneDNN, the instructions of
an older processor, CUDA where there is a GPU, and another release of PyTorch, for which an
environment is made beside this one. Every setting encodes the pictures with the codec of the
embedded zoo, then decodes the streams of all settings. Counted are entropy-table indexes and
latents that differ from those of the setting that encoded, and the largest difference of a decoded
picture from the first setting's. Beside it the indexes that the usual floating-point path gives
under the same settings.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from float_parameters import FloatHyperprior
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from vcm_mt.apis.pictures import read_picture
from vcm_mt.bitstream.container import unpack
from vcm_mt.cli.command import command
from vcm_mt.compat import TORCHVISION_AHEAD
from vcm_mt.models.codec import build_codec
from vcm_mt.models.receivers import Receiver
from vcm_mt.models.transmitter import Transmitter

OUT = Path("work_dirs/determinism")
PICTURES = Path("data/mini/val")
CODEC: dict[str, Any] = {
    "arch": "MeanScaleHyperprior",
    "N": 48,
    "M": 96,
    "checkpoint": "zoo://mse_3",
}
#: PyTorch and oneDNN then keep from what came after AVX2: wide registers, sums of bytes, bfloat16.
OLDER = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
Indexes = NDArray[np.uint8]


class Setting(NamedTuple):
    """One setting of a machine."""

    threads: int = 1
    batch: int = 1
    amp: bool = False
    channels_last: bool = True
    onednn: bool = True
    older: bool = False
    cuda: bool = False
    other_torch: bool = False


OTHER = "another PyTorch"
SETTINGS = {
    "one thread": Setting(),
    "two threads": Setting(threads=2),
    "batches of 8": Setting(batch=8),
    "bfloat16": Setting(amp=True),
    "no channels_last": Setting(channels_last=False),
    "no oneDNN": Setting(onednn=False),
    "AVX2 alone": Setting(older=True),
    "CUDA": Setting(cuda=True),
    OTHER: Setting(other_torch=True),
}


class Ends:
    """Both ends of a channel under one setting, which keep the indexes that they find.

    Args:
        setting: An entry of ``SETTINGS``.
    """

    def __init__(self, setting: Setting) -> None:
        torch.set_num_threads(setting.threads)
        torch.backends.mkldnn.set_flags(setting.onednn)
        self.batch = setting.batch
        self.device = "cuda" if setting.cuda else "cpu"
        codec = build_codec(**CODEC)
        self.transmitter = Transmitter(codec).eval()
        self.transmitter.update_tables()
        self.receiver = Receiver(codec.g_s).eval()
        both = nn.ModuleList([self.transmitter, self.receiver]).to(self.device)
        self.transmitter.amp = self.receiver.amp = setting.amp
        if setting.channels_last:
            both.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        entropy = self.transmitter.entropy
        in_floats = FloatHyperprior.of(entropy, setting.amp)
        find = entropy._parameters_of
        self.indexes: list[Indexes] = []
        self.float_indexes: list[Indexes] = []

        def watched(z_symbols: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
            tables, means = find(z_symbols)
            self.indexes.append(_bytes(tables))
            self.float_indexes.append(_bytes(in_floats._parameters_of(z_symbols)[0]))
            return tables, means

        entropy._parameters_of = watched  # type: ignore[method-assign]

    def encode(self, pictures: list[Path]) -> list[bytes]:
        """Encode pictures."""
        return [
            data
            for start in range(0, len(pictures), self.batch)
            for data in self.transmitter.encode(
                torch.cat([read_picture(p) for p in pictures[start : start + self.batch]]).to(
                    self.device
                )
            )
        ]

    @torch.no_grad()
    def decode(self, streams: list[bytes]) -> Iterator[torch.Tensor]:
        """Decode streams to latents, batch by batch."""
        for start in range(0, len(streams), self.batch):
            packets = [unpack(data) for data in streams[start : start + self.batch]]
            yield self.transmitter.decode_packets(packets)

    def taken(self) -> tuple[Indexes, Indexes]:
        """Indexes of the pictures since the last call, by integers and by floats, [n, symbols]."""
        found = np.concatenate(self.indexes), np.concatenate(self.float_indexes)
        self.indexes, self.float_indexes = [], []
        return found


def encode_under(name: str, number: int) -> None:
    """Encode pictures under one setting."""
    ends = Ends(SETTINGS[name])
    pictures = sorted(PICTURES.iterdir())[:number]
    streams = ends.encode(pictures)
    indexes, _ = ends.taken()
    lengths = np.cumsum([len(data) for data in streams])
    np.savez(
        _file(name), data=np.frombuffer(b"".join(streams), np.uint8), ends=lengths, indexes=indexes
    )


@torch.no_grad()
def decode_under(name: str) -> None:
    """Decode what every setting encoded, under one."""
    ends = Ends(SETTINGS[name])
    first = next(iter(SETTINGS))
    told = {}
    for source in (other for other in SETTINGS if _file(other).is_file()):
        with np.load(_file(source)) as sent:
            data, cuts, theirs = sent["data"].tobytes(), sent["ends"].tolist(), sent["indexes"]
        streams = [data[a:b] for a, b in pairwise([0, *cuts])]
        latents, pictures = [], []
        for y_hat in ends.decode(streams):
            latents += list(y_hat.cpu().numpy())
            if source == first:
                pictures.append(ends.receiver(y_hat).cpu().numpy())
        own, floats = ends.taken()
        digests = [hashlib.sha256(one.tobytes()).hexdigest() for one in latents]
        told[source] = {
            "indexes": int((own != theirs).sum()),
            "pictures": int((own != theirs).any(axis=1).sum()),
            "latents": digests,
        }
        if source == first:
            reference = OUT / "first.npz"
            if name == first:
                np.savez(reference, pictures=np.concatenate(pictures), floats=floats)
            with np.load(reference) as kept:
                difference = np.abs(np.concatenate(pictures) - kept["pictures"])
                told[source] |= {
                    "largest": float(255 * difference.max()),
                    "float_indexes": int((floats != kept["floats"]).sum()),
                    "float_pictures": int((floats != kept["floats"]).any(axis=1).sum()),
                    "symbols": int(floats.size),
                }
    (OUT / f"{_slug(name)}.json").write_text(json.dumps(told))


def other_torch(release: str) -> Path:
    """The Python of an environment like this one but for its PyTorch; made where it is not."""
    folder = Path(f".venv-torch-{release}")
    python = folder / "bin" / "python"
    if not (folder / "ready").is_file():
        print(f"making {folder}")
        venv.create(folder, with_pip=True, clear=True)
        minor = int(release.split(".")[1]) + TORCHVISION_AHEAD
        kept = [f"{name}=={version(name)}" for name in ("numpy", "pillow")]
        wanted = [f"torch=={release}", f"torchvision==0.{minor}.*", *kept]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
        # All else comes from this environment.
        here, there = (
            sysconfig.get_path("purelib", vars={"base": b}) for b in (sys.prefix, str(folder))
        )
        Path(there, "rest.pth").write_text(f"import site; site.addsitedir({here!r})\n")
        (folder / "ready").touch()
    return python


def report(names: list[str], number: int) -> dict[str, Any]:
    """The results of every setting, and the table."""
    first = names[0]
    told = {name: json.loads((OUT / f"{_slug(name)}.json").read_text()) for name in names}
    rows = {}
    for name in names:
        pairs = [told[name][source] for source in names]
        mine = [told[name][source]["latents"] for source in names]
        theirs = [told[source][source]["latents"] for source in names]
        reference = told[name][first]
        rows[name] = {
            "streams_decoded": number * len(names),
            "index_mismatches": sum(pair["indexes"] for pair in pairs),
            "latent_mismatches": sum(
                a != b
                for one, other in zip(mine, theirs, strict=True)
                for a, b in zip(one, other, strict=True)
            ),
            "picture_difference_levels": reference["largest"],
            "float_path_index_mismatches": reference["float_indexes"],
            "float_path_pictures_lost": reference["float_pictures"],
        }
    return {"pictures": number, "symbols": told[first][first]["symbols"], "settings": rows}


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    number = result["pictures"]
    lines = [
        f"{number} pictures a pair, {result['symbols']:,} symbols; every setting decodes the "
        "streams of all.",
        "",
        "| setting | streams decoded | other indexes | other latents | picture differs by at most "
        "| floats: other indexes | floats: pictures lost |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['streams_decoded']} | {row['index_mismatches']} "
        f"| {row['latent_mismatches']} | {row['picture_difference_levels']:.3f} / 255 "
        f"| {row['float_path_index_mismatches']} "
        f"| {row['float_path_pictures_lost']} of {number} |"
        for name, row in result["settings"].items()
    ]
    return "\n".join(lines) + "\n"


def plot(result: dict[str, Any], path: Path) -> None:
    """Pictures that each path loses, by setting."""
    from matplotlib.figure import Figure  # after vcm_mt, which sees to its backend

    rows = list(result["settings"].items())[1:]
    names = [name for name, _ in rows]
    places = np.arange(len(rows))
    figure = Figure(figsize=(7.5, 0.55 * len(rows) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    share = 100 / result["pictures"]
    lost = [share * row["float_path_pictures_lost"] for _, row in rows]
    bars = axes.barh(places - 0.2, lost, 0.38, label="floating point", color="#c44e52")
    axes.bar_label(bars, [f"{value:.3g} %" for value in lost], padding=3)
    kept = [share * row["latent_mismatches"] / len(result["settings"]) for _, row in rows]
    bars = axes.barh(places + 0.2, kept, 0.38, label="integers (this project)", color="#4c72b0")
    axes.bar_label(bars, [f"{value:.3g} %" for value in kept], padding=3)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 112)
    axes.set_xlabel("pictures that a decoder of that setting reads wrongly, per cent")
    axes.set_title(f"Encoded with {next(iter(result['settings']))}, decoded with ...")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def _bytes(indexes: torch.Tensor) -> Indexes:
    return indexes.flatten(1).cpu().numpy().astype(np.uint8)


def _slug(name: str) -> str:
    return name.replace(" ", "_")


def _file(name: str) -> Path:
    return OUT / f"{_slug(name)}.npz"


@command("start it again")
def main() -> int:
    """Run every setting, then compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--torch", help="release of PyTorch to compare with, as 2.9.1")
    parser.add_argument("--step", choices=("encode", "decode"), help=argparse.SUPPRESS)
    parser.add_argument("--setting", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step == "encode":
        encode_under(options.setting, options.pictures)
    elif options.step == "decode":
        decode_under(options.setting)
    if options.step:
        return 0
    if not PICTURES.is_dir():
        print("no pictures: run python tools/prepare_mini.py first", file=sys.stderr)
        return 1
    pythons: dict[str, Path | str] = {
        name: sys.executable
        for name, setting in SETTINGS.items()
        if not (setting.cuda and not torch.cuda.is_available()) and not setting.other_torch
    }
    if options.torch:
        pythons[OTHER] = other_torch(options.torch)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    steps = [(step, name) for step in ("encode", "decode") for name in pythons]
    for step, name in tqdm(steps, unit="step"):
        command = [str(pythons[name]), __file__, "--step", step, "--setting", name]
        environment = os.environ | (OLDER if SETTINGS[name].older else {})
        command += ["--pictures", str(options.pictures)]
        subprocess.run(command, check=True, env=environment)
    result = report(list(pythons), options.pictures)
    result["torch"] = {"this": torch.__version__, "other": options.torch}
    (OUT / "determinism.json").write_text(json.dumps(result, indent=1) + "\n")
    (OUT / "determinism.md").write_text(table(result))
    plot(result, OUT / "determinism.png")
    print(table(result))
    wrong = sum(
        row["index_mismatches"] + row["latent_mismatches"] for row in result["settings"].values()
    )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
