"""What the pages say can be done, and what they link to is there."""

import ast
import contextlib
import io
import re
import shlex
import sys
from importlib import import_module

import pytest

from tests.conftest import ROOT
from vcm_mt.cli.main import COMMANDS

sys.path.insert(0, str(ROOT / "tools" / "dev"))
from result_pages import pages as result_pages  # noqa: E402
from run_docs import blocks, pages  # noqa: E402

PAGES = pages()
_LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def _name(path):
    return path.relative_to(ROOT).as_posix()


def _commands(code):
    """Lines of a block as words, continued ones joined."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for part in _parts(words):
            if part[:1] == ["vcm-mt"] and len(part) > 1:
                yield part[1:]


def _parts(words):
    start = 0
    for number, word in enumerate([*words, "&&"]):
        if word in ("&&", "|", ";"):
            yield words[start:number]
            start = number + 1


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page):
    for target, _ in _LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_command_has_the_options_that_the_page_gives_it(page):
    for block in blocks(page):
        if block.language == "python":
            ast.parse(block.code)
            continue
        for name, *arguments in _commands(block.code):
            if name.startswith("-"):
                continue
            assert name in COMMANDS, f"{page.name}: vcm-mt {name}"
            parser = import_module(f"vcm_mt.cli.{name.replace('-', '_')}").make_parser()
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                try:
                    parser.parse_args(arguments)
                except SystemExit:
                    pytest.fail(f"{page.name}: vcm-mt {name} {arguments}: {said.getvalue()}")


def test_results_are_those_of_the_result_files():
    for path, text in result_pages().items():
        assert path.read_text() == text, f"run tools/dev/result_pages.py: {path.name} is behind"


def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    assert len(text.split()) <= 1600
