"""Lower precision for the transforms, on whose values encoder and decoder need not agree."""

from __future__ import annotations

import functools
import os
import platform
import re
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from vcm_mt.errors import ConfigError

#: Values of ``amp``, and the dtype of convolutions for each.
_DTYPES = {
    False: None,
    "fp32": None,
    True: torch.bfloat16,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
#: Lowest compute capability of NVIDIA GPUs with bfloat16 (Ampere).
_BF16_CAPABILITY = (8, 0)
#: Values of ONEDNN_MAX_CPU_ISA under which oneDNN emulates bfloat16 on AVX-512.
_WITHOUT_BF16 = {"AVX512_CORE", "AVX512_CORE_VNNI"}
#: x86 instruction sets with bfloat16, as ``torch.cpu`` names them.
_INSTRUCTIONS = ("avx512_bf16", "amx_tile")


def check_amp(amp: bool | str) -> None:
    """Check a value of ``amp``.

    Raises:
        ConfigError: For values other than ``"auto"``, ``"bf16"``, ``"fp16"``, ``"fp32"``, ``True``
            (bf16) and ``False`` (fp32).
    """
    if amp != "auto" and amp not in _DTYPES:
        raise ConfigError(f'amp must be "auto", "bf16", "fp16" or "fp32", not {amp!r}')


def amp_dtype(amp: bool | str, device: torch.device | str) -> torch.dtype | None:
    """The dtype that ``amp`` means on a device; ``None`` for float32.

    ``"auto"`` is bfloat16 on devices that support it natively (:func:`multiplies_bfloat16`) and
    float32 on others. ``"bf16"`` on a CPU that emulates it warns once: it is several times slower
    than float32.

    Raises:
        ConfigError: For an unknown value, or fp16 on a CPU.
    """
    check_amp(amp)
    device = torch.device(device)
    if amp == "auto":
        return torch.bfloat16 if multiplies_bfloat16(device) else None
    dtype = _DTYPES[amp]
    if dtype is torch.float16 and device.type == "cpu":
        raise ConfigError('amp="fp16" is for GPUs: set amp="auto" on a CPU')
    if dtype is torch.bfloat16 and not multiplies_bfloat16(device):
        _warn_of_emulation(device.type)
    return dtype


def amp_name(amp: bool | str, device: torch.device | str) -> str:
    """The name of :func:`amp_dtype`'s result: ``"bf16"``, ``"fp16"`` or ``"fp32"``."""
    names = {torch.bfloat16: "bf16", torch.float16: "fp16", None: "fp32"}
    return names[amp_dtype(amp, device)]


def multiplies_bfloat16(device: torch.device | str) -> bool:
    """Whether a device supports bfloat16 natively, and PyTorch uses that.

    Supported are AVX512_BF16 and AMX (x86), the bf16 extension (Arm) and compute capability 8.0
    (NVIDIA). On x86, PyTorch and oneDNN obey ``ATEN_CPU_CAPABILITY`` and ``ONEDNN_MAX_CPU_ISA``.
    PyTorch 2.4 and 2.5 do not report a CPU's instruction sets: the result is ``False`` there.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _BF16_CAPABILITY
    return device.type == "cpu" and bool(torch.backends.mkldnn.enabled) and _cpu_does()


@functools.cache
def _cpu_does() -> bool:
    if not torch.backends.mkldnn.is_available() or not _onednn_takes_it():
        return False
    if platform.machine().lower() in ("aarch64", "arm64"):
        return True
    checks = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in _INSTRUCTIONS)
    return (
        torch.backends.cpu.get_cpu_capability() == "AVX512"
        and os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() not in _WITHOUT_BF16
        and any(check() for check in checks if check is not None)
    )


def _onednn_takes_it() -> bool:
    """Whether oneDNN has a bfloat16 path, native or emulated, under its ISA limit."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def processor(device: torch.device | str = "cpu") -> str:
    """A description of a device for tables of timings: name, instruction set, bfloat16, threads."""
    device = torch.device(device)
    native = "bf16 native" if multiplies_bfloat16(device) else "bf16 emulated"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {native}"
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    model = re.search(r"^model name\s*: (.+)$", info, re.MULTILINE)
    name = model[1].strip() if model else platform.processor() or platform.machine()
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{name}, {capability}, {native}, {torch.get_num_threads()} threads"


@functools.cache
def _warn_of_emulation(kind: str) -> None:
    warnings.warn(
        f"amp=bf16 on a {kind} that emulates bfloat16 takes several times as long as float32: "
        'set amp="auto" (--amp auto)',
        stacklevel=4,
    )


def transformed(transform: nn.Module, x: Tensor, amp: bool | str) -> Tensor:
    """Run ``g_a`` or ``g_s`` in the precision ``amp`` of :func:`amp_dtype`; returns float32.

    Transmitter and receiver may choose independently: entropy parameters depend on the sent
    symbols only. GDN trains in bfloat16 or float32, never in float16.
    """
    # nn.Module.compile changes __call__, not forward: only training runs compiled.
    run = transform if torch.is_grad_enabled() else transform.forward
    dtype = amp_dtype(amp, x.device)
    with torch.autocast(x.device.type, dtype, enabled=dtype is not None):
        return run(x).float()
