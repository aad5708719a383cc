"""Lower precision where it decides nothing that both ends must agree on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vcm_mt.errors import ConfigError

_DTYPES = {True: torch.bfloat16, "bf16": torch.bfloat16, "fp16": torch.float16}


def amp_dtype(amp: bool | str, device: torch.device | str) -> torch.dtype | None:
    """What ``amp`` stands for: ``True`` and ``"bf16"`` bfloat16, ``"fp16"``, ``False`` nothing.

    Raises:
        ConfigError: For another value, or fp16 on a CPU.
    """
    if amp is False:
        return None
    if amp not in _DTYPES:
        raise ConfigError(f'amp must be True, False, "bf16" or "fp16", not {amp!r}')
    if amp == "fp16" and torch.device(device).type == "cpu":
        raise ConfigError('amp="fp16" is for GPUs: set amp="bf16" on a CPU')
    return _DTYPES[amp]


def transformed(transform: nn.Module, x: Tensor, amp: bool | str) -> Tensor:
    """Run ``g_a`` or ``g_s``; returns float32.

    With ``amp`` its convolutions multiply in bfloat16 or float16 (GDN, in training, in bfloat16 or
    float32), which is faster where the processor knows the type (``make bench-codec``). Either end
    of a channel may choose for itself: the entropy parameters come from what was sent alone.
    """
    # nn.Module.compile changes how a module is called, not its forward: only training is compiled.
    run = transform if torch.is_grad_enabled() else transform.forward
    dtype = amp_dtype(amp, x.device)
    with torch.autocast(x.device.type, dtype, enabled=dtype is not None):
        return run(x).float()
