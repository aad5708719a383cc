"""Imports point one way: the layout is the architecture."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "vcm_mt"

# What everything may import.
FOUNDATION = {
    *("errors", "structures", "registry", "version", "compat", "device"),
    *("files", "pictures", "backend", "visualization", "numerics", "config_path", "moved"),
}

# From the top: a room imports from those below it, and from those beside it that BESIDE names.
FLOORS = (
    {"__main__"},
    {"cli"},
    {"report"},
    {"evaluation", "metrics", "datasets"},
    {"apis", "engine", "training"},
    {"models", "anchors", "curves"},
    {"bitstream", "checkpoint"},
    FOUNDATION,
)
BESIDE = {
    "evaluation": {"datasets", "metrics"},
    "metrics": {"datasets"},
    "apis": {"training"},
    "bitstream": {"checkpoint"},
}

# Rooms inside ``models``, and which others of these they may import.
MODELS = {
    "fast": set(),
    "codec": {"fast", "resampling"},
    "precision": set(),
    "resampling": set(),
    "similarity": set(),
    "sizes": set(),
    "transmitter": {"precision", "resampling"},
    "receivers": {"precision", "fast", "resampling"},
    "tasks": {"precision", "similarity", "sizes", "fast"},
    "latent_scale": {"transmitter", "receivers"},
    "data_preprocessor": {"transmitter"},
    "score": {"similarity", "sizes", "tasks"},
    "temporal_system": {"codec", "receivers", "sizes", "tasks", "transmitter", "vcm_system"},
    "task_losses": {"tasks"},
    "vcm_system": {
        *("codec", "precision", "transmitter", "receivers", "score", "sizes", "tasks"),
        "task_losses",
    },
    "objectives": {"tasks", "vcm_system"},
    "refiner": {"objectives", "precision", "receivers", "tasks", "vcm_system"},
    "receiver_system": {"vcm_system", "receivers", "sizes"},
}


def _floor(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


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
    room, _, inner = module.partition(".")
    if module == "__init__":
        return  # gathers what the package exports
    for target in _imports(path):
        other, _, part = target.partition(".")
        if other != room:
            fits = _floor(other) > _floor(room) or other in BESIDE.get(room, ())
            assert fits or {room, other} <= FOUNDATION, f"{module} imports {target}"
        elif room == "models" and inner:
            own, place = inner.split(".")[0], part.split(".")[0]
            assert place == own or place in MODELS[own], f"{module} imports {target}"


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


def test_mmpose_is_optional_and_imported_only_in_tasks():
    """And there inside functions, after it was looked for."""
    for path in FILES:
        for line in path.read_text().splitlines():
            if line.strip().startswith(("from mmpose", "import mmpose")):
                assert _name(path).startswith("models.tasks."), path
                assert line.startswith(" "), f"{path} imports mmpose for everybody: {line}"
