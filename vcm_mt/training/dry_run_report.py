"""The result of a dry run as text."""

from __future__ import annotations

from collections.abc import Iterator

from vcm_mt.training.dry_run import GB, DryRun, Evaluation


def dry_run_report(run: DryRun) -> str:
    """One finding per line, behind its subject; the last line says whether training can start."""
    return "\n".join(f"{subject:12}{finding}" for subject, finding in _lines(run))


def _lines(run: DryRun) -> Iterator[tuple[str, str]]:
    for data in run.data:
        fine = f"{data.read} of them read"
        size = "x".join(map(str, data.size))
        yield (
            data.split,
            f"{data.pictures} pictures, {data.objects} objects, largest {size}; {fine}",
        )
    for weights in run.weights:
        yield "weights", weights
    yield "model", f"{run.trained / 1e6:.2f} M parameters trained, {run.frozen / 1e6:.2f} M frozen"
    size = "x".join(map(str, run.data[0].size))
    for step in filter(None, (run.one, run.step)):
        yield (
            "step",
            f"{step.pictures} of {size}: loss {step.loss:.4g}, {step.seconds:.2f} s, "
            f"peak {step.peak / GB:.2f} GB",
        )
    yield (
        "memory",
        f"about {run.needed / GB:.2f} GB for a batch of {run.batch}, of {run.memory / GB:.1f} GB",
    )
    yield "evaluation", _evaluation(run.evaluation)
    yield (
        "time",
        f"{_time(run.seconds)} for {run.iterations} iterations and {run.validations} validations, "
        "if all pictures were that large",
    )
    yield (
        "disk",
        f"{run.checkpoints} checkpoints of {run.checkpoint_bytes / GB:.3f} GB in {run.work_dir}, "
        f"{run.free / GB:.1f} GB free",
    )
    for problem in run.problems:
        yield "problem", problem
    yield "verdict", "not ready: see the problems above" if run.problems else "ready to train"


def _evaluation(found: Evaluation) -> str:
    told = [f"{found.seconds:.2f} s for a picture"]
    if found.coding:
        bpp = 8 * found.coding["num_bytes"] / found.coding["num_pixels"]
        told.append(f"{found.coding['num_bytes']} bytes ({bpp:.3f} bpp)")
    told += [f"{name} finds {count}" for name, count in found.found.items()]
    return ", ".join(told)


def _time(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"
