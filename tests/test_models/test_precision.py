"""What amp="auto" stands for, and where it is written down."""

import os
import subprocess
import sys
import warnings

import pytest
import torch

from vcm_mt.errors import ConfigError
from vcm_mt.models import precision
from vcm_mt.models.precision import amp_dtype, amp_name, multiplies_bfloat16

ASK = "from vcm_mt.models.precision import amp_name; print(amp_name('auto', 'cpu'))"


def _auto_under(**limits):
    done = subprocess.run(
        [sys.executable, "-c", ASK], env={**os.environ, **limits}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "limits",
    [
        {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
        {"ONEDNN_MAX_CPU_ISA": "avx512_core_vnni"},
        {"ATEN_CPU_CAPABILITY": "avx2"},
    ],
)
def test_auto_is_float32_under_a_limit_without_bfloat16_instructions(limits):
    assert _auto_under(**limits) == "fp32"


def test_names_of_precisions(monkeypatch):
    for native, dtype, name in ((True, torch.bfloat16, "bf16"), (False, None, "fp32")):
        monkeypatch.setattr(precision, "_cpu_does", lambda native=native: native)
        assert amp_dtype("auto", "cpu") is dtype
        assert amp_name("auto", "cpu") == name
        assert amp_dtype(False, "cpu") is amp_dtype("fp32", "cpu") is None
    assert amp_dtype("fp16", "cuda") is torch.float16
    with pytest.raises(ConfigError, match="fp16.* is for GPUs"):
        amp_dtype("fp16", "cpu")
    with pytest.raises(ConfigError, match="'half'"):
        amp_dtype("half", "cpu")


def test_auto_without_onednn_is_float32():
    with torch.backends.mkldnn.flags(enabled=False):
        assert amp_dtype("auto", "cpu") is None


@pytest.mark.parametrize(
    ("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True)]
)
def test_gpus_from_ampere_on(monkeypatch, capability, native):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert multiplies_bfloat16("cuda:1") is native


def test_forced_bfloat16_warns_once_where_it_is_emulated(monkeypatch):
    precision._warn_of_emulation.cache_clear()
    monkeypatch.setattr(precision, "_cpu_does", lambda: False)
    with pytest.warns(UserWarning, match="emulates bfloat16"):
        assert amp_dtype("bf16", "cpu") is torch.bfloat16
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        amp_dtype("bf16", "cpu")
    precision._warn_of_emulation.cache_clear()
