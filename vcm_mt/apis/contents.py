"""Listing of the contents of ``.vcm`` files without decoding them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vcm_mt.bitstream.container import is_sequence, unpack
from vcm_mt.bitstream.sequence import SequenceReader
from vcm_mt.errors import BitstreamError


def print_contents(paths: Sequence[Path]) -> None:
    """Print kind, size, quality, transmitter and rate of each file.

    Raises:
        BitstreamError: If a file is damaged, after all others were printed.
    """
    failed: list[str] = []
    for path in paths:
        try:
            lines, damage = _contents(path.read_bytes())
        except BitstreamError as error:
            failed.append(f"{path}: {error}")
            continue
        failed += [f"{path}: {damage}"] if damage else []
        print(path, *(f"  {name:12} {value}" for name, value in lines.items()), sep="\n")
    if failed:
        raise BitstreamError("\n".join(failed))


def _contents(data: bytes) -> tuple[dict[str, object], str]:
    """The fields of a file by name, and its first damage, or an empty string."""
    reader = SequenceReader(data) if is_sequence(data) else [unpack(data)]
    header = reader.header if isinstance(reader, SequenceReader) else reader[0]
    bpp = 8 * len(data) / (header.height * header.width * len(reader))
    lines: dict[str, object] = {
        "kind": "sequence" if isinstance(reader, SequenceReader) else "picture",
        "pictures": len(reader),
        "size": f"{header.width} x {header.height}",
        "quality": header.quality,
        "transmitter": header.transmitter.hex(),
        "bytes": len(data),
        "bpp": f"{bpp:.4f}",
    }
    damaged = {}
    if isinstance(reader, SequenceReader):
        if header.prior:
            lines["key pictures"] = len({reader.key_of(n) for n in range(len(reader))})
            lines["prior"] = header.prior.hex()
        lines["fps"] = "/".join(map(str, reader.fps))
        lines["whole"] = "yes" if reader.whole else "no: the file was cut off"
        if damaged := reader.damaged():
            lines["damaged"] = f"{len(damaged)}, the first is picture {min(damaged)}"
    return lines, str(damaged[min(damaged)]) if damaged else ""
