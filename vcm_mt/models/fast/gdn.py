"""Generalised divisive normalisation without the maps that autograd would keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from compressai.layers import GDN
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

#: Values of a strip that is worked on at a time: what stays in a processor's cache; and how many
#: times as many in bfloat16, whose operations take longer to start.
_STRIP, _HALF = 1 << 18, 8


class FastGDN(GDN):
    """CompressAI's GDN, the same parameters and the same values in less time and memory.

    It trains in bfloat16 where the next layer takes that, in float32 otherwise (float16 has no
    room for squares), and hands on what the next layer takes. It works on strips that stay in the
    processor's cache, and when coding writes the result in the place of an input that nobody else
    reads.
    """

    own_input: bool

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [B, C, H, W]."""
        if torch.is_grad_enabled():
            gamma, beta = self.gamma_reparam(self.gamma), self.beta_reparam(self.beta)
            return _Normalise.apply(x, gamma, beta, self.inverse, taken_next(x))
        return self.write(x, x if self.own_input else torch.empty_like(x))

    def write(self, x: Tensor, y: Tensor) -> Tensor:
        """Normalise x into y, alike or of a higher precision, when coding; x may be y."""
        gamma = self.gamma_reparam(self.gamma)[..., None, None].to(x.dtype)
        beta = self.beta_reparam(self.beta).to(x.dtype)
        values = _STRIP * (1 if x.dtype == torch.float32 else _HALF)
        rows = x.shape[2] if x.is_cuda else max(1, values // (x.shape[1] * x.shape[3]))
        for strip, out in zip(x.split(rows, dim=2), y.split(rows, dim=2), strict=True):
            norm = F.conv2d(strip * strip, gamma, beta).to(y.dtype)
            if y is not x:
                out.copy_(strip)
            root = norm.rsqrt_()  # quicker than sqrt_ on a CPU
            (out.div_ if self.inverse else out.mul_)(root)
        return y


class _Normalise(torch.autograd.Function):
    """y = x * n^p with n = beta + gamma x^2 at each place; p is -1/2, or 1/2 for the inverse.

    Only x is kept for the gradient; n is computed again, strip by strip:

        dn = p * n^(p - 1) * x * dy,   dx = n^p * dy + 2 x * (gamma^T dn)

    The code's ``dn`` is without the factor p. Squares are positive, and their sum over channels
    hardly moves when each is rounded to bfloat16. Nothing is done in place:
    in that type it is slower on a CPU.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, inverse: bool, dtype: torch.dtype
    ) -> Tensor:
        """Args: x [B, C, H, W] of any float type, gamma [C, C], beta [C], y's type."""
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
        """Gradients of x, and of gamma and beta where they are trained."""
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
    """The type that a convolution would make of its input."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32


def _columns(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B * H * W, C], without a copy for channels_last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _like(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Room whose columns are a view, and which is none itself: others may add to it in place."""
    return torch.empty_like(x, dtype=dtype, memory_format=torch.channels_last)


def _strips(kind: torch.dtype, *columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Some rows of each, to be worked on in a type; a GPU and a compiler get all at once."""
    first = columns[0]
    whole = first.is_cuda or torch.compiler.is_compiling()
    values = _STRIP * (1 if kind == torch.float32 else _HALF)
    rows = len(first) if whole else max(1, values // first.shape[1])
    return zip(*(part.split(rows) for part in columns), strict=True)
