"""Imports point one way: the layout is the architecture."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "vcm_mt"

FOUNDATION = {
    *("errors", "structures", "registry", "version", "compat", "checkpoint"),
    *("files", "pictures", "backend"),
    "numerics",
}

# What each room may import of the package beside itself and the foundation.
ALLOWED = {
    "numerics": set(),
    "bitstream": set(),
    "datasets": set(),
    "datasets.bitstreams": {"apis", "bitstream", "datasets"},
    "visualization": set(),
    "models.gdn": set(),
    "models.winograd": set(),
    "models.deconv": {"bitstream", "models.gdn", "models.winograd"},
    "models.codec": {"bitstream", "models.gdn", "models.deconv", "models.winograd"},
    "models.precision": set(),
    "models.similarity": set(),
    "models.sizes": set(),
    "models.transmitter": {"bitstream", "models.precision"},
    "models.receivers": {
        "bitstream",
        "models.precision",
        "models.gdn",
        "models.deconv",
        "models.winograd",
    },
    "models.tasks": {"models.precision", "models.similarity", "models.sizes"},
    "models.latent_scale": {"bitstream", "models.transmitter", "models.receivers"},
    "models.data_preprocessor": {"models.transmitter"},
    "models.report": {"models.similarity", "models.sizes", "models.tasks"},
    "models.vcm_system": {
        "models.codec",
        "models.precision",
        "models.transmitter",
        "models.receivers",
        "models.report",
        "models.sizes",
        "models.tasks",
    },
    "models.refiner": {
        "models.precision",
        "models.receivers",
        "models.tasks",
        "models.vcm_system",
    },
    "models.receiver_system": {"models.vcm_system", "models.receivers", "models.sizes"},
    "engine": {"models", "visualization"},
    "apis": {"models", "bitstream"},
    "evaluation": {"models", "bitstream", "datasets", "visualization", "engine", "apis"},
}


def _room(module: str) -> str | None:
    """The longest room that a module below the package belongs to."""
    rooms = [r for r in ALLOWED if module == r or module.startswith(r + ".")]
    return max(rooms, key=len) if rooms else None


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vcm_mt."):
            found.add(node.module.removeprefix("vcm_mt."))
        elif isinstance(node, ast.ImportFrom) and node.module == "vcm_mt":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("vcm_mt.")
                for alias in node.names
                if alias.name.startswith("vcm_mt.")
            }
    return found


def _name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_imports_point_one_way(path):
    module = _name(path)
    if module in {"__init__", "models"}:
        return  # they gather what their rooms export
    room = _room(module)
    if room is None:
        assert module in FOUNDATION, f"{module} is in no room: give it one in this test"
    allowed = ALLOWED.get(room, set()) if room else set()
    for target in _imports(path):
        if target.split(".")[0] in FOUNDATION:
            continue
        place = _room(target) or target
        fits = place == room or any(place == a or place.startswith(a + ".") for a in allowed)
        assert fits, f"{module} imports {target}: {room} may only import {sorted(allowed)}"


def test_mmdet_models_are_touched_only_in_tasks():
    for path in FILES:
        text = path.read_text()
        if "mmdet" in text and not _name(path).startswith("models.tasks."):
            imports = [line for line in text.splitlines() if "import" in line and "mmdet" in line]
            modules = {
                line.split()[1]
                for line in imports
                if line.startswith(("from mmdet", "import mmdet"))
            }
            assert {m.split(".")[1] for m in modules} <= {"evaluation", "datasets"}, (
                f"{path} imports {modules}"
            )
