"""Reading and writing that MPEG's data sets have in common, with one line for each fault."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vcm_mt.errors import DataError
from vcm_mt.files import UNREADABLE, write_atomically

#: Where it is said how a folder must look.
PAGE = "docs/mpeg.md"
#: The folder inside a data set's own for what is written.
PREPARED = "prepared"


def check_there(files: Iterable[Path], what: str) -> None:
    """Make sure that files and folders exist.

    Raises:
        DataError: Names all that do not, in one line.
    """
    if absent := [path for path in files if not path.exists()]:
        names = ", ".join(dict.fromkeys(str(path) for path in absent))
        raise DataError(f"{what} lacks {len(absent)} files: {names}. {PAGE} says where they are")


def check_pictures(folder: Path, names: Iterable[str], what: str) -> None:
    """The same for pictures in a folder, of which the folder alone is named where it is missing."""
    check_there([folder] if not folder.is_dir() else [folder / name for name in names], what)


def rows_of(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Lines of a CSV file with a header, and what to call each in an error.

    Raises:
        DataError: When the file can't be read, or lacks a column or a value.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    table = csv.DictReader(text.splitlines())
    if absent := [name for name in columns if name not in (table.fieldnames or ())]:
        raise DataError(
            f"{path} has no column {absent[0]}: its first line must name {','.join(columns)}"
        )
    for row in table:
        place = f"{path}, line {table.line_num}"
        if None in row or None in row.values():
            raise DataError(f"{place}: another number of columns than the first line names")
        yield place, row


def lines_of(path: Path, separator: str | None, count: int) -> Iterator[tuple[str, list[float]]]:
    """Numbers in lines of one length without a header, and what to call each in an error.

    Args:
        path: The file.
        separator: Between numbers; ``None`` for spaces.
        count: How many a line has.

    Raises:
        DataError: When the file can't be read, or a line holds something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        cells = line.split(separator)
        place = f"{path}, line {number}"
        if len(cells) != count:
            raise DataError(f"{place}: {len(cells)} columns, and this format has {count}")
        yield place, [number_of(cell, place, "a value") for cell in cells]


def json_of(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: When it can't be read or is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}") from error


def entries_of(content: Any, name: str, path: Path) -> list[dict[str, Any]]:
    """A list of dictionaries in a JSON file.

    Raises:
        DataError: When it is something else.
    """
    found = content.get(name) if isinstance(content, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise DataError(f"{path} has no list of {name}")
    return found


def field_of(entry: Mapping[str, Any], name: str, place: str | Path) -> Any:
    """A value of a dictionary.

    Raises:
        DataError: When there is none.
    """
    if name not in entry:
        raise DataError(f"{place}: an entry has no {name}: {str(dict(entry))[:120]}")
    return entry[name]


def number_of(value: Any, place: str | Path, name: str) -> float:
    """A finite number.

    Raises:
        DataError: When it is none.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{place}: {name} is {value!r}, and must be a number")
    return number


def whole(value: Any, place: str | Path, name: str) -> int:
    """A whole number, also where it is written as ``3.0``.

    Raises:
        DataError: When it is none.
    """
    number = number_of(value, place, name)
    if not number.is_integer():
        raise DataError(f"{place}: {name} is {value!r}, and must be a whole number")
    return int(number)


def picture_size(path: Path, wanted: tuple[int, int] | None = None) -> tuple[int, int]:
    """Width and height of a picture's file.

    Raises:
        DataError: When it can't be read, or its size is not the one that is wanted.
    """
    try:
        with Image.open(path) as picture:
            found = picture.size
    except UNREADABLE as error:
        raise DataError(f"{path} is not a readable picture: {error}") from error
    if wanted is not None and found != wanted:
        raise DataError(
            f"{path} is {found[0]}x{found[1]}, and its annotation says {wanted[0]}x{wanted[1]}"
        )
    return found


def write_coco(path: Path, content: Mapping[str, Any]) -> None:
    """Write an annotation file, whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, [json.dumps(content, separators=(",", ":")).encode()])


def numbered(annotations: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Annotations with ids from 1 on."""
    return [{"id": number, **one} for number, one in enumerate(annotations, start=1)]
