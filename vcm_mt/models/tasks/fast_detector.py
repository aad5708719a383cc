"""A faster twin of a frozen detector for training: the same maps in less time and memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from mmcv.cnn.utils import fuse_conv_bn
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vcm_mt.errors import ConfigError
from vcm_mt.models.fast.roi_align import FastRoIAlign
from vcm_mt.models.precision import amp_dtype, amp_name, check_amp

#: Side in pixels of the picture on which folded and original maps are compared, and the largest
#: relative difference. The rounding of float32 over a hundred layers stays far below it.
_PROBE, _TOLERANCE = 64, 1e-2


class Switches(NamedTuple):
    """What the twin changes; all off by default. See :class:`MMDetTask` for the meaning."""

    amp: bool | str = False
    fold: bool = False
    fast_roi_align: bool = False
    checkpoint_activations: bool = False
    compile: bool = False


class FastDetector:
    """Builds the faster twin of a detector, and caches it.

    The twin shares the detector's heads. Its backbone and neck are modified copies, which is
    possible because frozen weights take no gradient. The detector itself, its state dict and its
    predictions stay unchanged. The heads contain operators of mmcv, and always receive contiguous
    float32 maps.

    Args:
        switches: What to change. With all switches off there is no twin.
    """

    def __init__(self, switches: Switches) -> None:
        check_amp(switches.amp)
        self.switches = switches
        self._key: tuple[Any, ...] | None = None
        self._twin: Any = None

    def settle(self, amp: bool | str, detector: Any) -> str:
        """Use ``amp`` for this detector from now on.

        Returns:
            ``"bf16"``, ``"fp16"`` or ``"fp32"``: what ``amp`` means for it.
        """
        device = next(detector.parameters()).device
        amp = amp_name(_possible(amp, _parts(detector).values()), device)
        self.switches = self.switches._replace(amp=amp)
        return amp

    def of(self, detector: Any) -> Any:
        """The twin of ``detector``, rebuilt if weights or device changed since the last call.

        Returns:
            ``detector`` itself if no switch is on.

        Raises:
            ConfigError: If a switch cannot work with this detector or device.
        """
        if not any(self.switches._replace(amp=self.switches.amp not in (False, "fp32"))):
            return detector
        key = (self.switches, *_state(detector))
        if key != self._key:
            self._twin, self._key = _twin(detector, self.switches), key
        return self._twin


def _state(detector: Any) -> Iterator[tuple[torch.device, int]]:
    for value in (*detector.parameters(), *detector.buffers()):
        yield value.device, value._version


def _twin(detector: Any, switches: Switches) -> Any:
    device = next(detector.parameters()).device
    own = _parts(detector)
    names = list(own)
    dtype = amp_dtype(_possible(switches.amp, own.values()), device)
    if not names:
        raise ConfigError(
            f"{type(detector).__name__} has no backbone: leave amp, fold and "
            "checkpoint_activations of this task off"
        )
    parts = {name: copy.deepcopy(part) for name, part in own.items()}
    if switches.fold:
        parts = {name: fuse_conv_bn(part) for name, part in parts.items()}
        _require_equal(detector, parts)
    order = _memory_order(parts.values(), device, dtype)
    for part in parts.values():
        part.requires_grad_(False)
        _prepare(part, dtype, order)
    if switches.checkpoint_activations:
        for stage in _stages(parts["backbone"]):
            stage.forward = _checkpointed(stage.forward)
    if switches.compile:
        for part in parts.values():
            part.compile()
    if switches.fast_roi_align and device.type == "cpu":
        detector = _with_fast_roi_align(detector)
    return _sharing(
        detector,
        {name: _Part(part, dtype, order, name == names[-1]) for name, part in parts.items()},
    )


def _parts(detector: Any) -> dict[str, nn.Module]:
    """The backbone and the neck that the detector has, by name."""
    known = {name: detector._modules.get(name) for name in ("backbone", "neck")}
    return {name: part for name, part in known.items() if part is not None}


def _possible(amp: bool | str, parts: Iterable[nn.Module]) -> bool | str:
    """``amp``, but float32 instead of ``auto`` for parts that contain operators of mmcv."""
    modules = (module for part in parts for module in part.modules())
    return "fp32" if amp == "auto" and any(map(_is_mmcvs, modules)) else amp


def _is_mmcvs(module: nn.Module) -> bool:
    return type(module).__module__.startswith("mmcv.ops")


class _Part(nn.Module):
    """A backbone or neck in its own precision and memory format."""

    def __init__(
        self,
        body: nn.Module,
        dtype: torch.dtype | None,
        order: torch.memory_format,
        for_heads: bool,
    ) -> None:
        super().__init__()
        self.body, self.dtype, self.order, self.for_heads = body, dtype, order, for_heads

    def forward(self, x: Any) -> Any:
        first = x if isinstance(x, Tensor) else x[0]
        if isinstance(x, Tensor):
            x = x.contiguous(memory_format=self.order)
        with torch.autocast(first.device.type, self.dtype, enabled=self.dtype is not None):
            maps = self.body(x)
        return tuple(m.float().contiguous() for m in maps) if self.for_heads else maps


def _sharing(module: Any, parts: dict[str, nn.Module]) -> Any:
    """A shallow copy of a module with some of its submodules replaced."""
    twin = copy.copy(module)
    twin._modules = {**module._modules, **parts}
    return twin


def _with_fast_roi_align(module: Any) -> Any:
    if FastRoIAlign.replaces(module):
        return FastRoIAlign(module)
    parts = {name: _with_fast_roi_align(part) for name, part in module.named_children()}
    new = {name: part for name, part in parts.items() if part is not module._modules[name]}
    return _sharing(module, new) if new else module


def _memory_order(
    parts: Iterable[nn.Module], device: torch.device, dtype: torch.dtype | None
) -> torch.memory_format:
    """The memory format in which a frozen network's convolutions are expected to be fastest.

    On a CPU that is channels_last (measured). On a GPU it is channels_last in half precision,
    except for grouped convolutions such as ResNeXt's, which are reported to be slow in it. The
    choice for GPUs has not been measured.
    """
    convolutions = (m for part in parts for m in part.modules() if isinstance(m, nn.Conv2d))
    grouped = any(1 < m.groups < m.in_channels for m in convolutions)
    last = device.type == "cpu" or (dtype is not None and not grouped)
    return torch.channels_last if last else torch.contiguous_format


def _prepare(part: nn.Module, dtype: torch.dtype | None, order: torch.memory_format) -> None:
    """Convert the weights to the format and precision of the convolutions, once."""
    part.to(memory_format=order)  # type: ignore[call-overload]
    if dtype is None:
        return
    for module in part.modules():
        if _is_mmcvs(module):
            raise ConfigError(
                f'{type(module).__name__} runs in float32 only: set amp="auto" for this task'
            )
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(dtype)


@torch.no_grad()
def _require_equal(detector: Any, parts: dict[str, nn.Module]) -> None:
    """Compare folded parts with the originals.

    Folding pairs layers by their order in a module, which need not be the order of their calls.
    """
    weight = next(detector.parameters())
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(1, 3, _PROBE, _PROBE, generator=generator).to(weight)
    with _true_float32():
        before = detector.extract_feat(probe)
        after = _sharing(detector, parts).extract_feat(probe)
    for a, b in zip(before, after, strict=True):
        if not torch.allclose(a, b, rtol=_TOLERANCE, atol=_TOLERANCE * float(a.abs().max())):
            raise ConfigError(
                f"the batch norms of {type(detector.backbone).__name__} cannot be folded into its "
                "convolutions: set fold=False for this task"
            )


@contextmanager
def _true_float32() -> Iterator[None]:
    """Turn off TF32, in which cuDNN multiplies float32 with 10 bits of mantissa by default."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    places: list[Any] = [cudnn, matmul]
    name, off = "allow_tf32", cast("Any", False)
    if hasattr(matmul, "fp32_precision"):  # PyTorch 2.9 and later
        places, name, off = [cast("Any", cudnn).conv, matmul], "fp32_precision", "ieee"
    before = [getattr(place, name) for place in places]
    try:
        for place in places:
            setattr(place, name, off)
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            setattr(place, name, value)


def _stages(backbone: nn.Module) -> Iterable[nn.Module]:
    """The residual blocks or layers of a backbone, in order."""
    for child in backbone.children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            yield from child


def _checkpointed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        # In eval mode no layer draws random numbers: there is no generator state to restore.
        return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    return run
