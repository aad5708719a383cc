"""Entropy parameters in floating point, as other learned codecs have them: to compare with."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import Self

from vcm_mt.bitstream.context import ContextHyperprior
from vcm_mt.bitstream.entropy import Hyperprior
from vcm_mt.errors import ConfigError
from vcm_mt.models.precision import transformed


class FloatHyperprior(Hyperprior):
    """A hyperprior whose two ends need the same floating-point arithmetic to agree."""

    amp = False

    @classmethod
    def of(cls, prior: Hyperprior, amp: bool = False) -> Self:
        """The same parts and tables; with ``amp``, ``h_s`` runs in bfloat16.

        Raises:
            ConfigError: For a codec with a context model.
        """
        if isinstance(prior, ContextHyperprior):
            raise ConfigError(
                "a codec with a context model cannot be compared with its floating-point form: "
                "take one with a scale or mean-scale hyperprior"
            )
        other = cls.__new__(cls)
        other.__dict__.update(prior.__dict__)
        other.amp = amp
        return other

    def _parameters_of(self, z_symbols: Tensor) -> tuple[Tensor, Tensor | None]:
        scales, means = self._split(transformed(self.h_s, z_symbols + self._medians(), self.amp))
        indexes = self.gaussian_conditional.build_indexes(scales)
        return indexes + len(self.entropy_bottleneck.quantiles), means
