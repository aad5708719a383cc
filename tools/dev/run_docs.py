"""Run the commands of README.md and of the pages in docs/, as they are written there.

python tools/dev/run_docs.py                         every page
python tools/dev/run_docs.py docs/get_started.md     one

Blocks of a page run one after another in the folder of the clone. A block that takes too long, or
needs what is not here, has a comment before it that says so: ``<!-- not run: REASON -->``.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from vcm_mt.cli.command import command

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]*) -->\n)?```(?P<language>bash|python)\n(?P<code>.*?)\n```",
    re.DOTALL,
)


class Block(NamedTuple):
    """A block of commands or of Python.

    Attributes:
        language: ``bash`` or ``python``.
        code: What is between the fences.
        reason: Why it is not run; empty if it is.
    """

    language: str
    code: str
    reason: str


def pages() -> list[Path]:
    """README.md and the pages of the site."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield Block(match["language"], match["code"], match["reason"] or "")


def run(block: Block) -> int:
    """Run a block; its exit status."""
    start = (
        [sys.executable, "-c"] if block.language == "python" else ["bash", "-euo", "pipefail", "-c"]
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [*start, block.code], cwd=ROOT, env={**os.environ, "PATH": path}
    ).returncode


@command("start it again")
def main() -> int:
    """Run the blocks of each page until one fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", nargs="*", type=Path, help="default all")
    for page in parser.parse_args().pages or pages():
        for block in blocks(page):
            first = block.code.splitlines()[0]
            if block.reason:
                print(f"{page.name}: not run ({block.reason}): {first}", flush=True)
                continue
            print(f"{page.name}: {first}", flush=True)
            begin = time.monotonic()
            if status := run(block):
                print(f"{page.name}: failed with status {status}:\n{block.code}", file=sys.stderr)
                return 1
            print(f"    done in {time.monotonic() - begin:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
