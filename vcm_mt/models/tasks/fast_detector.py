"""How a frozen detector runs in training: its own maps, in less time and memory."""

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
from vcm_mt.models.fast.roi_align import QuickRoIAlign
from vcm_mt.models.precision import amp_dtype, amp_name, check_amp

#: Side of the picture on which folded and original maps are compared, in pixels, and how far
#: they may lie apart: float32's rounding over a hundred layers stays far below.
_PROBE, _TOLERANCE = 64, 1e-2


class Switches(NamedTuple):
    """What may be changed in how backbone and neck run; see :class:`MMDetTask`."""

    amp: bool | str = False
    fold: bool = False
    quick_roi_align: bool = False
    checkpoint_activations: bool = False
    compile: bool = False


class FastDetector:
    """Makes a detector's twin that trains a codec faster, and keeps it.

    The twin has the detector's own heads; its backbone and neck are copies that may be changed,
    since what is frozen takes no gradient. The detector itself, and with it its state dict and
    its predictions, stay as they are. The heads, which hold mmcv's operators, get contiguous
    float32 maps whatever runs before them.

    Args:
        switches: What to change.
    """

    def __init__(self, switches: Switches) -> None:
        check_amp(switches.amp)
        self.switches = switches
        self._made: tuple[Any, ...] | None = None
        self._twin: Any = None

    def settle(self, amp: bool | str, detector: Any) -> str:
        """Take ``amp`` for this detector from now on, and tell what it stands for."""
        device = next(detector.parameters()).device
        amp = amp_name(_possible(amp, _parts(detector).values()), device)
        self.switches = self.switches._replace(amp=amp)
        return amp

    def of(self, detector: Any) -> Any:
        """The twin of ``detector`` as it is now: made anew after a move or a change of weights.

        Raises:
            ConfigError: When a switch can't work with this detector or device.
        """
        if not any(self.switches._replace(amp=self.switches.amp not in (False, "fp32"))):
            return detector
        made = (self.switches, *_state(detector))
        if made != self._made:
            self._twin, self._made = _twin(detector, self.switches), made
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
            f"{type(detector).__name__} has no backbone that could run otherwise: leave amp, fold "
            "and checkpoint_activations of this task off"
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
    if switches.quick_roi_align and device.type == "cpu":
        detector = _with_quick_roi_align(detector)
    return _sharing(
        detector,
        {name: _Part(part, dtype, order, name == names[-1]) for name, part in parts.items()},
    )


def _parts(detector: Any) -> dict[str, nn.Module]:
    """Backbone and neck, as far as there are such."""
    known = {name: detector._modules.get(name) for name in ("backbone", "neck")}
    return {name: part for name, part in known.items() if part is not None}


def _possible(amp: bool | str, parts: Iterable[nn.Module]) -> bool | str:
    """``amp``, but float32 in place of ``auto`` for parts with operators of mmcv's."""
    modules = (module for part in parts for module in part.modules())
    return "fp32" if amp == "auto" and any(map(_is_mmcvs, modules)) else amp


def _is_mmcvs(module: nn.Module) -> bool:
    return type(module).__module__.startswith("mmcv.ops")


class _Part(nn.Module):
    """A backbone or neck in its own precision and memory order."""

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
    """A module that shares everything with another one but these parts."""
    twin = copy.copy(module)
    twin._modules = {**module._modules, **parts}
    return twin


def _with_quick_roi_align(module: Any) -> Any:
    if QuickRoIAlign.replaces(module):
        return QuickRoIAlign(module)
    parts = {name: _with_quick_roi_align(part) for name, part in module.named_children()}
    new = {name: part for name, part in parts.items() if part is not module._modules[name]}
    return _sharing(module, new) if new else module


def _memory_order(
    parts: Iterable[nn.Module], device: torch.device, dtype: torch.dtype | None
) -> torch.memory_format:
    """The order in memory in which a frozen network's convolutions are taken to be quickest.

    On a CPU that is channels last (measured). On a GPU it is so in half precision, whose matrix
    units want it, but not for grouped convolutions such as ResNeXt's, which are reported to crawl
    there. That waits to be measured on a GPU.
    """
    convolutions = (m for part in parts for m in part.modules() if isinstance(m, nn.Conv2d))
    grouped = any(1 < m.groups < m.in_channels for m in convolutions)
    last = device.type == "cpu" or (dtype is not None and not grouped)
    return torch.channels_last if last else torch.contiguous_format


def _prepare(part: nn.Module, dtype: torch.dtype | None, order: torch.memory_format) -> None:
    """Weights in the order and precision that convolutions run in, once and not every step."""
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
    """Folding goes by the order of layers in a module, which need not be that of their calls."""
    weight = next(detector.parameters())
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(1, 3, _PROBE, _PROBE, generator=generator).to(weight)
    with _true_float32():
        before = detector.extract_feat(probe)
        after = _sharing(detector, parts).extract_feat(probe)
    for a, b in zip(before, after, strict=True):
        if not torch.allclose(a, b, rtol=_TOLERANCE, atol=_TOLERANCE * float(a.abs().max())):
            raise ConfigError(
                f"{type(detector.backbone).__name__}'s batch norms don't follow their "
                "convolutions: set fold=False for this task"
            )


@contextmanager
def _true_float32() -> Iterator[None]:
    """Without TF32's 10 bits, in which cuDNN multiplies float32 by default."""
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
    """The residual blocks or layers that a backbone runs one after another."""
    for child in backbone.children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            yield from child


def _checkpointed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        # Nothing draws random numbers in eval mode, so that there is no state to restore.
        return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    return run
