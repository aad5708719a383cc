"""Generalised divisive normalisation (GDN) with a hand-written gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from compressai.layers import GDN
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

#: Values of a strip that is processed at once, chosen to stay in the processor's cache; and the
#: factor in bfloat16, whose operations have a larger overhead.
_STRIP, _HALF = 1 << 18, 8


class FastGDN(GDN):
    """A faster twin of CompressAI's GDN with the same parameters and values.

    In training it computes in bfloat16 if autocast runs the next convolution in bfloat16, and in
    float32 otherwise, since squares overflow in float16. Its output has the dtype of the next
    convolution. It processes strips that stay in the cache and saves only its input for the
    gradient. When coding, it overwrites its input if no other layer reads it.

    Attributes:
        own_input: Whether no other layer reads the input.
    """

    own_input: bool

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [B, C, H, W]."""
        if torch.is_grad_enabled():
            gamma, beta = self.gamma_reparam(self.gamma), self.beta_reparam(self.beta)
            return _Normalise.apply(x, gamma, beta, self.inverse, taken_next(x))
        return self.write(x, x if self.own_input else torch.empty_like(x))

    def write(self, x: Tensor, y: Tensor) -> Tensor:
        """Normalise x into y when coding.

        Args:
            x: [B, C, H, W].
            y: A tensor of the same shape, of the same or a higher precision; it may be x.
        """
        gamma = self.gamma_reparam(self.gamma)[..., None, None].to(x.dtype)
        beta = self.beta_reparam(self.beta).to(x.dtype)
        values = _STRIP * (1 if x.dtype == torch.float32 else _HALF)
        rows = x.shape[2] if x.is_cuda else max(1, values // (x.shape[1] * x.shape[3]))
        for strip, out in zip(x.split(rows, dim=2), y.split(rows, dim=2), strict=True):
            norm = F.conv2d(strip * strip, gamma, beta).to(y.dtype)
            if y is not x:
                out.copy_(strip)
            root = norm.rsqrt_()  # faster than sqrt_ on a CPU
            (out.div_ if self.inverse else out.mul_)(root)
        return y


class _Normalise(torch.autograd.Function):
    """y = x * n^p with n = beta + gamma x^2 at each position; p is -1/2, or 1/2 for the inverse.

    Only x is saved for the gradient; n is recomputed strip by strip:

        dn = p * n^(p - 1) * x * dy,   dx = n^p * dy + 2 x * (gamma^T dn)

    In the code ``dn`` does not include the factor p. Squares are positive, so that rounding them to
    bfloat16 hardly changes their sum over channels. In-place operations are avoided: in bfloat16
    they are slower on a CPU.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, inverse: bool, dtype: torch.dtype
    ) -> Tensor:
        """Args: x [B, C, H, W] of any float dtype, gamma [C, C], beta [C], dtype of y."""
        ctx.save_for_backward(x, gamma, beta)
        ctx.inverse = inverse
        ctx.kind = torch.bfloat16 if dtype == torch.bfloat16 else torch.float32
        y, g, b = _like(x, dtype), gamma.t().to(ctx.kind), beta.to(ctx.kind)
        with torch.autocast(x.device.type, enabled=False):
            for v, out in _strips(ctx.kind, _columns(x), _columns(y)):
                v = v.to(ctx.kind)
                norm = torch.addmm(b, v.square(), g)
                torch.mul(norm.sqrt() if inverse else norm.rsqrt(), v, out=out)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, and of gamma and beta if they are trained."""
        x, gamma, beta = ctx.saved_tensors
        trained = any(ctx.needs_input_grad[1:3])
        p = 0.5 if ctx.inverse else -0.5
        dx, dgamma, dbeta = _like(x, x.dtype), torch.zeros_like(gamma), beta * 0
        g, b = gamma.to(ctx.kind), beta.to(ctx.kind)
        with torch.autocast(x.device.type, enabled=False):
            for v, slope, out in _strips(ctx.kind, _columns(x), _columns(dy), _columns(dx)):
                v, slope = v.to(ctx.kind), slope.to(ctx.kind)
                squares = v.square()
                norm = torch.addmm(b, squares, g.t())
                s = norm.rsqrt() * slope
                direct, dn = (norm * s, s * v) if ctx.inverse else (s, s * v / norm)
                if trained:
                    dgamma.add_(dn.t() @ squares, alpha=p)
                    dbeta.add_(dn.sum(0), alpha=p)
                torch.addcmul(direct, dn @ g, v, value=2 * p, out=out)
        return (dx, *((dgamma, dbeta) if trained else (None, None)), None, None)


def taken_next(x: Tensor) -> torch.dtype:
    """The dtype in which autocast would run a convolution."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32


def _columns(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B * H * W, C], without a copy for channels_last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _like(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Allocate a channels_last tensor like ``x`` that can be updated in place."""
    return torch.empty_like(x, dtype=dtype, memory_format=torch.channels_last)


def _strips(kind: torch.dtype, *columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Split columns into strips of rows; on a GPU and when compiling, into one strip."""
    first = columns[0]
    whole = first.is_cuda or torch.compiler.is_compiling()
    values = _STRIP * (1 if kind == torch.float32 else _HALF)
    rows = len(first) if whole else max(1, values // first.shape[1])
    return zip(*(part.split(rows) for part in columns), strict=True)
