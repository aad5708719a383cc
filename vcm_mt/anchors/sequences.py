"""Anchors for whole sequences: random access, low delay, and all pictures intra."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from vcm_mt.anchors.av1 import AV1, CPU_USED
from vcm_mt.anchors.base import AnchorRecord, Picture, check_picture, check_quality
from vcm_mt.anchors.ffmpeg import RAW, FFmpegAnchor
from vcm_mt.anchors.hevc import HEVC
from vcm_mt.anchors.hevc import PARAMETERS as HEVC_PARAMETERS
from vcm_mt.anchors.video import CONVERSION
from vcm_mt.anchors.vtm import VTM
from vcm_mt.anchors.vvc import VVC
from vcm_mt.anchors.yuv import rgb_to_yuv420p10, yuv420p10_to_rgb
from vcm_mt.errors import AnchorError, MeasurementError

#: How a sequence may be coded: with pictures from before and after, from before only, or from none.
MODES = {"ra": "random access", "ld": "low delay", "intra": "all intra"}
#: From one picture that stands by itself to the next, in random access.
INTRA_PERIOD = 64

_VVC = {
    "ra": "IntraPeriod={period}:GOPSize=32",
    # VVenC has a low delay only without the filter and the analysis that look ahead.
    "ld": "PicReordering=0:DecodingRefreshType=none:GOPSize=8:IntraPeriod=100000:MCTF=0:BIM=0",
    "intra": "IntraPeriod=1:GOPSize=1:IntraQPOffset=0",
}
_HEVC = {
    "ra": "keyint={period}:min-keyint={period}:scenecut=0:bframes=8",
    "ld": "keyint=-1:scenecut=0:bframes=0:rc-lookahead=0",
    "intra": "ipratio=1:keyint=1",
}
_AV1: dict[str, tuple[str, ...]] = {
    "ra": ("-g", "{period}", "-lag-in-frames", "35"),
    "ld": ("-g", "100000", "-lag-in-frames", "0"),
    "intra": ("-usage", "allintra"),
}


class SequenceAnchor(ABC):
    """A video codec on whole sequences, in :data:`vcm_mt.anchors.yuv.CODED`.

    Its rate is that of the whole stream: bpp = 8 * bytes / (pixels of a picture * pictures).

    Attributes:
        record: What decides bytes and pictures besides the QP.
        standard: Its name in messages.
        parameter: What the standard calls its parameter of quality.
        qualities: The default sweep of the QP.
        quality_range: All valid values of the QP.
    """

    record: AnchorRecord
    standard: str
    parameter: str
    qualities: tuple[int, ...]
    quality_range: range

    def encode(self, frames: Sequence[Picture], qp: int, fps: float = 25) -> bytes:
        """Encode pictures of one size, each uint8 [H, W, 3], RGB.

        Raises:
            MeasurementError: No pictures, of another kind or of several sizes, or a QP out of
                range.
            AnchorError: The encoder refused them.
        """
        for frame in frames:
            check_picture(frame)
        if len({frame.shape for frame in frames}) != 1:
            raise MeasurementError("a sequence has one picture or more, all of one size")
        check_quality(self.standard, self.parameter, self.quality_range, qp)
        height, width = frames[0].shape[:2]
        border = ((0, height % 2), (0, width % 2), (0, 0))
        raw = b"".join(rgb_to_yuv420p10(np.pad(frame, border, mode="edge")) for frame in frames)
        size = width + width % 2, height + height % 2
        what = f"coding {len(frames)} pictures of {height}x{width} at {self.parameter} {qp}"
        return self._encode(raw, size, len(frames), qp, fps, what)

    def decode(self, data: bytes, height: int, width: int) -> list[Picture]:
        """Decode a sequence, in the order in which its pictures are shown.

        Raises:
            AnchorError: The stream is damaged, or of pictures of another size.
        """
        raw = self._decode(data, f"decoding pictures of {height}x{width}")
        tall, wide = height + height % 2, width + width % 2
        size = 3 * tall * wide
        if len(raw) % size:
            raise AnchorError(
                f"the stream does not hold pictures of {height}x{width}: give the size that was "
                "encoded"
            )
        planes = (raw[at : at + size] for at in range(0, len(raw), size))
        return [yuv420p10_to_rgb(one, tall, wide)[:height, :width] for one in planes]

    @abstractmethod
    def header_bytes(self, data: bytes) -> int:
        """Bytes without picture content; see :meth:`Anchor.header_bytes`."""

    @abstractmethod
    def _encode(
        self, raw: bytes, size: tuple[int, int], count: int, qp: int, fps: float, what: str
    ) -> bytes:
        """Stream of raw pictures of an even size (width, height); ``what`` is for messages."""

    @abstractmethod
    def _decode(self, data: bytes, what: str) -> bytes:
        """Raw pictures of a stream."""


class FFmpegSequence(SequenceAnchor):
    """A codec of FFmpeg on sequences.

    Args:
        codec: The same codec for single pictures.
        mode: A key of :data:`MODES`.
        options: FFmpeg's options for the encoder, but the QP.
    """

    def __init__(self, codec: FFmpegAnchor, mode: str, options: Sequence[str]) -> None:
        self._codec = codec
        self._options = ("-c:v", codec.library, *options)
        self.standard, self.parameter = codec.standard, codec.parameter
        self.qualities, self.quality_range = codec.qualities, codec.quality_range
        self.record = replace(
            codec.record,
            name=f"{codec.record.name}, {MODES[mode]}",
            options=(*self._options, CONVERSION),
        )

    def _encode(
        self, raw: bytes, size: tuple[int, int], count: int, qp: int, fps: float, what: str
    ) -> bytes:
        source = (*RAW, "-s", f"{size[0]}x{size[1]}", "-r", f"{fps:g}", "-i", "-")
        quality = (self._codec.quality_option, str(qp))
        target = ("-f", self._codec.container)
        return self._codec.run((*source, *self._options, *quality, *target), raw, what)

    def _decode(self, data: bytes, what: str) -> bytes:
        stream = ("-threads", "1", "-f", self._codec.container, "-i", "-")
        return self._codec.run((*stream, "-fps_mode", "passthrough", *RAW), data, what)

    def header_bytes(self, data: bytes) -> int:
        """Bytes without picture content; see :meth:`Anchor.header_bytes`."""
        return self._codec.header_bytes(data)


class VTMSequence(SequenceAnchor):
    """VVC by VTM on sequences, from binaries and configurations that the user points to.

    Beside the two programs of :class:`VTM` it takes the configuration of its mode, unchanged, from
    VTM's folder ``cfg``:

        VCM_MT_VTM_CFG        encoder_intra_vtm.cfg, all intra
        VCM_MT_VTM_CFG_RA     encoder_randomaccess_vtm.cfg
        VCM_MT_VTM_CFG_LD     encoder_lowdelay_vtm.cfg

    Args:
        mode: A key of :data:`MODES`.
        period: From one picture that stands by itself to the next, in random access.

    Raises:
        AnchorError: A file is not given or not there, or the encoder is no VTM.
    """

    def __init__(self, mode: str, period: int) -> None:
        self._codec = VTM.of_mode(mode)
        own = {"ra": (f"--IntraPeriod={period}",), "ld": (), "intra": ("-ts", "1")}
        self._options = own[mode]
        self.standard, self.parameter = VTM.standard, VTM.parameter
        self.qualities, self.quality_range = VTM.qualities, VTM.quality_range
        record = self._codec.record
        # Number and rate of pictures are the sequence's.
        options = (*record.options[4:], *self._options)
        self.record = replace(record, name=f"{record.name}, {MODES[mode]}", options=options)

    def _encode(
        self, raw: bytes, size: tuple[int, int], count: int, qp: int, fps: float, what: str
    ) -> bytes:
        told = ("-f", str(count), "-fr", f"{round(fps)}", *self._options)
        return self._codec.encode_raw(raw, size[1], size[0], qp, told, what)

    def _decode(self, data: bytes, what: str) -> bytes:
        return self._codec.decode_raw(data, what)

    def header_bytes(self, data: bytes) -> int:
        """Bytes without picture content; see :meth:`Anchor.header_bytes`."""
        return self._codec.header_bytes(data)


def _vvc(mode: str, period: int, preset: str = "medium") -> SequenceAnchor:
    parameters = _VVC[mode].format(period=period)
    options = ("-preset", preset, "-qpa", "0", "-threads", "1", "-vvenc-params", parameters)
    return FFmpegSequence(VVC(preset), mode, options)


def _vtm(mode: str, period: int, preset: str = "") -> SequenceAnchor:
    if preset:
        raise MeasurementError(f"VTM has no presets: write vtm-{mode}, not vtm-{mode}:{preset}")
    return VTMSequence(mode, period)


def _hevc(mode: str, period: int, preset: str = "medium") -> SequenceAnchor:
    same = [one for one in HEVC_PARAMETERS if not one.startswith(("ipratio", "keyint"))]
    # x265's quickest preset looks five pictures ahead, and wants more than there are B pictures.
    ahead = ("rc-lookahead=10",) if (mode, preset) == ("ra", "ultrafast") else ()
    parameters = ":".join((_HEVC[mode].format(period=period), *ahead, *same))
    options = ("-preset", preset, "-threads", "1", "-x265-params", parameters)
    return FFmpegSequence(HEVC(preset), mode, options)


def _av1(mode: str, period: int, preset: str = CPU_USED) -> SequenceAnchor:
    own = tuple(one.format(period=period) for one in _AV1[mode])
    options = ("-cpu-used", preset, *own, "-b:v", "0", "-threads", "1")
    return FFmpegSequence(AV1(), mode, options)


#: What makes a sequence's anchor, by its codec.
_CODECS: Mapping[str, Callable[..., SequenceAnchor]] = {
    "vvc": _vvc,
    "vtm": _vtm,
    "hevc": _hevc,
    "av1": _av1,
}


def make_sequence_anchor(spec: str, period: int = INTRA_PERIOD) -> SequenceAnchor:
    """Make an anchor by name: 'vvc-ra', 'vvc-ld:slow', 'vtm-ra', 'hevc-intra', 'av1-ra'.

    Args:
        spec: Codec, mode, and perhaps a preset.
        period: From one picture that stands by itself to the next, in random access.

    Raises:
        MeasurementError: An unknown name or preset.
        AnchorError: The codec is not there.
    """
    name, _, preset = spec.partition(":")
    codec, _, mode = name.partition("-")
    if codec not in _CODECS or mode not in MODES:
        known = ", ".join(f"{one}-{how}" for one in _CODECS for how in MODES)
        raise MeasurementError(f"unknown anchor of sequences {spec!r}; known are {known}")
    return _CODECS[codec](mode, period, *filter(None, [preset]))
