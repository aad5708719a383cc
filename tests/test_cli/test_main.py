"""``vcm-mt``: its commands and options are a contract, its help is quick, its old names work."""

import argparse
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.conftest import ROOT
from vcm_mt.bitstream.container import pack
from vcm_mt.cli import options
from vcm_mt.cli.main import COMMANDS, main
from vcm_mt.structures import Packet
from vcm_mt.version import __version__

LISTING = Path(__file__).parent / "options.txt"
HEAVY = {"torch", "mmengine", "mmcv", "mmdet", "compressai"}
#: Names of tools/ by the commands that they stand for.
TOOLS = {
    "train": "train",
    "finetune_decoder": "finetune",
    "test": "test",
    "rp_curve": "curve",
    "bd_rate": "bd-rate",
    "report": "report",
    "download": "download",
    "prepare_mini": "prepare",
    "average": "average",
}


def _parser(command):
    return import_module(f"vcm_mt.cli.{command.replace('-', '_')}").make_parser()


def _line(action):
    """An option as users know it: names, nargs, type, choices, default."""
    names = ", ".join(action.option_strings) or action.dest
    told = {
        "nargs": action.nargs,
        "type": getattr(action.type, "__name__", None),
        "choices": action.choices and "|".join(action.choices),
        "default": action.default if action.default not in (None, argparse.SUPPRESS) else None,
    }
    kept = [f"{name}={value}" for name, value in told.items() if value is not None]
    kept += ["required"] if action.required else []
    kept += [f"deprecated: {action.new.option_strings[-1]}"] if hasattr(action, "new") else []
    return "    " + "  ".join([names, *kept])


def _listing():
    lines = []
    for command in COMMANDS:
        lines += [command, *map(_line, _parser(command)._actions[1:])]
    return "\n".join(lines) + "\n"


def test_commands_and_options_are_as_listed():
    """To change one on purpose, write ``options.txt`` anew: ``python -m tests.test_cli.test_main``.

    Former names stay for a version, see ``add_old_name``.
    """
    assert _listing() == LISTING.read_text()


#: Where one command takes one value and another several: a file is decoded by one receiver, and a
#: BD-rate is against one curve. ``--quality`` is a list everywhere.
ONE_OR_SEVERAL = {"--receiver", "--anchor"}


def test_the_same_option_is_the_same_everywhere():
    kinds = {}
    for command in COMMANDS:
        for action in _parser(command)._actions[1:]:
            for name in action.option_strings:
                if hasattr(action, "new"):  # a former name
                    continue
                nargs = None if name in ONE_OR_SEVERAL else action.nargs
                kind = nargs, action.type, action.choices, type(action), action.option_strings[-1]
                kinds.setdefault(name, {})[command] = kind
    different = {name: by for name, by in kinds.items() if len(set(map(str, by.values()))) > 1}
    assert different == {}


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_imports_no_heavy_library(command):
    arguments = [*filter(None, [command]), "--help"]
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('modules:', *sys.modules))\n"
        "from vcm_mt.cli.main import main\n"
        f"main({arguments})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text, _, modules = done.stdout.rpartition("modules: ")
    assert text.startswith(f"usage: vcm-mt {command or 'COMMAND'} ")
    assert command is None or "\nExamples:\n    vcm-mt " + command in text
    assert not HEAVY & set(modules.split())


def test_info_needs_no_pytorch(tmp_path):
    path = tmp_path / "a.vcm"
    path.write_bytes(pack(Packet(30, 40, 3, b"abcd", b"symbols")))
    code = (
        "import sys\n"
        "from vcm_mt.cli.main import main\n"
        f"assert main(['info', {str(path)!r}]) == 0\n"
        "assert not {'torch', 'mmengine', 'compressai'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "40 x 30" in done.stdout


def test_choices_are_those_of_the_rooms_below():
    from vcm_mt.curves.bd_rate import MIN_POINTS, MONOTONE
    from vcm_mt.curves.bootstrap import RESAMPLES

    assert tuple(sorted(MIN_POINTS)) == options.METHODS
    assert options.MONOTONE == MONOTONE
    assert options.RESAMPLES == RESAMPLES


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n  {command} " in told


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"vcm-mt {__version__}\n"


def test_an_unknown_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["trian"])
    assert ended.value.code == 2
    assert "invalid choice: 'trian' (choose from" in capsys.readouterr().err


@pytest.mark.parametrize(("tool", "command"), TOOLS.items())
def test_tools_are_commands(tool, command):
    done = subprocess.run(
        [sys.executable, f"tools/{tool}.py", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.startswith(f"usage: vcm-mt {command} "), done.stderr


@pytest.mark.parametrize("command", ["encode", "decode", "export", "info"])
def test_the_codecs_tool_has_these_commands(command):
    done = subprocess.run(
        [sys.executable, "tools/codec.py", command, "-h"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.startswith(f"usage: vcm-mt {command} "), done.stderr


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [
        ("finetune", ["--task", "segm", "--light", "2"], ["--task", "segm", "--lora", "2"]),
        ("finetune", ["--task", "segm", "--deep", "4"], ["--task", "segm", "--adapter", "4"]),
        ("test", ["c", "p", "--receivers", "a", "b"], ["c", "p", "--receiver", "a", "b"]),
        ("test", ["c", "p", "--tasks", "det"], ["c", "p", "--task", "det"]),
        ("test", ["c", "p", "--refine-receivers"], ["c", "p", "--refine-own-receivers"]),
        ("curve", ["c", "-o", "x", "--tasks", "a", "b"], ["c", "-o", "x", "--task", "a", "b"]),
        ("curve", ["c", "-o", "x", "--refine-receivers"],
         ["c", "-o", "x", "--refine-own-receivers"]),
    ],
)  # fmt: skip
def test_old_names_of_options_work_and_say_so(capsys, command, old, new):
    wanted = _parser(command).parse_args(new)
    assert capsys.readouterr().err == ""
    assert _parser(command).parse_args(old) == wanted
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    former, current = (
        [word for word in words if word.startswith("--")][-1] for words in (old, new)
    )
    assert said.startswith(f"vcm-mt {command}: {former} is deprecated")
    assert said.endswith(f"use {current}\n")


def test_the_folder_of_a_mean_may_stand_in_front_for_a_version(monkeypatch, capsys):
    from vcm_mt.apis import average as api

    monkeypatch.setattr(api, "average", lambda trainings, out: f"{trainings} to {out}")
    assert main(["average", "a", "b", "--out", "mean"]) == 0
    new = capsys.readouterr()
    assert main(["average", "mean", "a", "b"]) == 0
    old = capsys.readouterr()
    assert old.out == new.out and new.err == ""
    assert old.err.startswith("vcm-mt average: OUT TRAINING ... is deprecated")


@pytest.mark.parametrize(
    ("command", "rest"),
    [("train", ["c.py"]), ("encode", ["a.png", "-o", "a.vcm", "--transmitter", "t"])],
)
def test_levels_may_stand_in_front(command, rest):
    behind = _parser(command).parse_args([*rest, "--quality", "1", "2"])
    assert behind.quality == [1, 2]
    assert _parser(command).parse_args(["--quality", "1", "2", *rest]) == behind


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "a.png", "-o", "a.vcm", "--transmitter", "t", "--quality", "1", "2"],
        ["test", "c.py", "p", "--quality", "1", "2"],
    ],
)
def test_commands_that_take_one_level_say_so(capsys, arguments):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "--quality: this command takes one quality, not 1 2" in capsys.readouterr().err


def test_a_setting_without_its_value(capsys):
    parser = _parser("train")
    assert parser.parse_args(["c", "--cfg-options", "a.b=2", "c=[1,2]"]).cfg_options == {
        "a.b": 2, "c": [1, 2],
    }  # fmt: skip
    with pytest.raises(SystemExit):
        parser.parse_args(["c", "--cfg-options", "resume"])
    assert "--cfg-options takes KEY=VALUE, not 'resume'" in capsys.readouterr().err


if __name__ == "__main__":
    LISTING.write_text(_listing())
