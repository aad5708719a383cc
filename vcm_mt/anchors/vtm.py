"""VVC all-intra by VTM, the reference software, from binaries that the user points to."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from typing_extensions import Self

from vcm_mt.anchors.base import AnchorRecord
from vcm_mt.anchors.headers import VVC_CONTENT, header_bytes, vvc_units
from vcm_mt.anchors.process import call, last_lines, sha256
from vcm_mt.anchors.video import CONVERSION, VideoAnchor
from vcm_mt.errors import AnchorError

ONE_PICTURE = ("-f", "1", "-fr", "1")
OPTIONS = (
    "--InputChromaFormat=420",
    *("--InputBitDepth=10", "--InternalBitDepth=10", "--OutputBitDepth=10"),
    "--ConformanceWindowMode=1",  # VTM itself pads to multiples of 8, and crops
)
#: The encoder's configuration by mode: the environment's variable, and the file's name.
CFGS = {
    "intra": ("VCM_MT_VTM_CFG", "cfg/encoder_intra_vtm.cfg"),
    "ra": ("VCM_MT_VTM_CFG_RA", "cfg/encoder_randomaccess_vtm.cfg"),
    "ld": ("VCM_MT_VTM_CFG_LD", "cfg/encoder_lowdelay_vtm.cfg"),
}
PICTURE, STREAM, RECONSTRUCTION = "picture.yuv", "stream.bin", "reconstruction.yuv"


class VTM(VideoAnchor):
    """VVC all-intra by VTM at a fixed QP of 0 to 63: the reference, slow (up to minutes a picture).

    The paper's anchor is VTM-8.2 in the all-intra configuration of the common test conditions. Its
    three files come from the tag VTM-8.2 of https://vcgit.hhi.fraunhofer.de/jvet/VVCSoftware_VTM,
    built in release mode as its README says:

        VCM_MT_VTM_ENCODER    bin/EncoderAppStatic
        VCM_MT_VTM_DECODER    bin/DecoderAppStatic
        VCM_MT_VTM_CFG        cfg/encoder_intra_vtm.cfg, unchanged

    What the configuration leaves open is set here, see `OPTIONS`: one picture, 10 bits, 4:2:0.
    Encoder and decoder must be of one version: before VTM-10 the stream is not yet H.266's.

    Args:
        encoder: VTM's encoder; else the environment's `VCM_MT_VTM_ENCODER`.
        decoder: VTM's decoder; else `VCM_MT_VTM_DECODER`.
        cfg: The encoder's configuration; else `VCM_MT_VTM_CFG`.
        mode: Whose configuration it is, a key of `CFGS`: sequences have others.

    Raises:
        AnchorError: One of the three is not given or not there, or the encoder is no VTM.
    """

    standard = "VVC"
    quality_range = range(64)
    qualities = (47, 42, 37, 32, 27, 22)

    def __init__(
        self,
        encoder: str | os.PathLike[str] | None = None,
        decoder: str | os.PathLike[str] | None = None,
        cfg: str | os.PathLike[str] | None = None,
        mode: str = "intra",
    ) -> None:
        self._encoder = _find(encoder, "VCM_MT_VTM_ENCODER", "EncoderAppStatic")
        self._decoder = _find(decoder, "VCM_MT_VTM_DECODER", "DecoderAppStatic")
        self._cfg = _find(cfg, *CFGS[mode])
        files = {"encoder": self._encoder, "decoder": self._decoder, "cfg": self._cfg}
        self.record = AnchorRecord(
            name="VVC (VTM)",
            version=_version(self._encoder),
            preset="",
            options=(
                *ONE_PICTURE,
                *OPTIONS,
                *(f"{part} SHA-256 {sha256(path)}" for part, path in files.items()),
                CONVERSION,
            ),
        )

    def header_bytes(self, data: bytes) -> int:
        """All NAL units but coded slices and adaptation parameter sets, with their start codes."""
        return header_bytes(data, vvc_units(data), VVC_CONTENT)

    @classmethod
    def of_mode(cls, mode: str) -> Self:
        """VTM with the configuration of a mode, a key of `CFGS`."""
        return cls(mode=mode)

    def encode_raw(
        self, raw: bytes, height: int, width: int, qp: int, told: Sequence[str], what: str
    ) -> bytes:
        """Stream of raw pictures; `told` says how many there are."""
        files = ("-c", str(self._cfg), "-i", PICTURE, "-b", STREAM, "-o", RECONSTRUCTION)
        size = ("-wdt", str(width), "-hgt", str(height))
        command = (str(self._encoder), *files, *size, "-q", str(qp), *told, *OPTIONS)
        return _run(command, {PICTURE: raw}, STREAM, what)

    def decode_raw(self, data: bytes, what: str) -> bytes:
        """Raw pictures of a stream."""
        command = (str(self._decoder), "-b", STREAM, "-o", RECONSTRUCTION, "-d", "10")
        return _run(command, {STREAM: data}, RECONSTRUCTION, what)

    def _encode(self, raw: bytes, height: int, width: int, qp: int, what: str) -> bytes:
        return self.encode_raw(raw, height, width, qp, ONE_PICTURE, what)

    def _decode(self, data: bytes, what: str) -> bytes:
        return self.decode_raw(data, what)


def _find(given: str | os.PathLike[str] | None, variable: str, file: str) -> Path:
    path = given or os.environ.get(variable)
    advice = f"set {variable} to VTM's {file}, see vcm_mt.anchors.VTM"
    if not path:
        raise AnchorError(f"VTM is not bundled: {advice}")
    if not Path(path).is_file():
        raise AnchorError(f"there is no file {path}: {advice}")
    return Path(path).resolve()


def _version(encoder: Path) -> str:
    """Name and version that the encoder prints when it is started without arguments."""
    said = call([str(encoder)]).stdout
    found = re.search(rb"VVCSoftware: (VTM) Encoder Version (\S+)", said)
    if not found:
        raise AnchorError(
            f"{encoder} is not VTM's encoder: set VCM_MT_VTM_ENCODER to EncoderAppStatic. "
            f"It said:\n{last_lines(said)}"
        )
    return b" ".join(found.groups()).decode()


def _run(command: Sequence[str], files: dict[str, bytes], result: str, what: str) -> bytes:
    """Run a program of VTM in a folder of its own, and return the content of its file `result`."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        done = call(command, folder=folder)
        if done.returncode or not (folder / result).is_file():
            raise AnchorError(
                f"VTM failed when {what} (exit {done.returncode}); it said:\n"
                f"{last_lines(done.stdout + done.stderr)}"
            )
        return (folder / result).read_bytes()
