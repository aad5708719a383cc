"""Variants of the temporal prior on a trained codec, and how each is trained and sends videos."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from vcm_mt.bitstream.temporal import PAST, Predicted, TemporalPrior
from vcm_mt.errors import ConfigError
from vcm_mt.models.transmitter import Transmitter

#: Clips of a step and frames of a clip, for priors alone and with the encoder.
CLIPS, FRAMES = 4, 5
JOINT_CLIPS, JOINT_FRAMES = 2, 4
#: Weight of the receivers' distortion in joint training, the rate's being 1.
HELD = 0.25


class Variant(nn.Module):
    """A prior beside its codec, and what it looks at.

    Args:
        network: The codec.
        past: How many latents before.
        with_z: Whether it looks at h_s of the picture's own z, too.
        prior: A trained one, in place of a new one.

    Raises:
        ConfigError: If ``with_z`` is asked of a hyperprior without means.
    """

    def __init__(
        self,
        network: Transmitter,
        past: int = PAST,
        with_z: bool = False,
        prior: TemporalPrior | None = None,
    ) -> None:
        super().__init__()
        if with_z and not network.entropy.has_means:
            raise ConfigError("z kept: for a codec whose h_s gives scales and means")
        channels = network.g_a[-1].out_channels
        self.network, self.past, self.with_z = network, past, with_z
        self.prior = prior or TemporalPrior(channels, past=past + 2 * with_z)

    def rounded(self, y: Tensor, before: Sequence[Tensor]) -> Predicted:
        """A picture's latent [B, M, h, w], rounded; see :meth:`TemporalPrior.rounded`."""
        entropy, seen, z_bits = self.network.entropy, [*before[: self.past]], torch.zeros(())
        if self.with_z:
            with torch.no_grad():
                z_hat, likelihoods = entropy.entropy_bottleneck(entropy.h_a(y))
                z_bits = -likelihoods.log2().sum((1, 2, 3))
                seen.append(entropy.h_s(z_hat))
        own = self.prior.rounded(y, torch.cat(seen, 1), entropy)
        return own._replace(bits=own.bits + z_bits)


class Rate(NamedTuple):
    """Mean bits of a clip's predicted pictures and of its key picture, and the last y_hat."""

    predicted: Tensor
    key: Tensor
    y_hat: Tensor


def rate(variant: Variant, y: Tensor) -> Rate:
    """Rounded and noisy latents give the rate in equal parts, as in a prior's training.

    Args:
        variant: What predicts.
        y: Scaled latents of clips, float [B, T, M, h, w].
    """
    entropy = variant.network.entropy
    key = entropy.rounded(y[:, 0])
    before, bits = [key.y_hat] * PAST, []
    for one in y[:, 1:].unbind(1):
        own = variant.rounded(one, before)
        noisy = one + torch.rand_like(one) - 0.5
        bits.append((own.bits + entropy.y_bits(noisy, own.scales, own.means)) / 2)
        y_hat = own.y_hat if y.requires_grad else own.y_hat.detach()
        before = [y_hat, *before[:-1]]
    return Rate(torch.stack(bits).mean(), key.bits.mean(), own.y_hat)


def fit(groups: list[dict[str, Any]], loss: Callable[[], Tensor], steps: int, name: str) -> None:
    """Take steps by Adam, the learning rates falling by a cosine."""
    optimiser = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    parameters = [p for group in groups for p in group["params"]]
    for _ in tqdm(range(steps), desc=name, unit="step"):
        optimiser.zero_grad()
        loss().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()


def drawn(shape: Sequence[int], clips: int, frames: int) -> tuple[Tensor, Tensor]:
    """Indexes of clips, [clips, 1] and [clips, frames], half of which run backwards."""
    videos, length = shape[:2]
    first = torch.randint(length - frames + 1, (clips, 1))
    numbers = first + torch.arange(frames)
    backwards = torch.rand(clips, 1) < 0.5
    return torch.randint(videos, (clips, 1)), torch.where(backwards, numbers.flip(1), numbers)


def train(variant: Variant, y: Tensor, steps: int, name: str) -> None:
    """Train a prior on cached latents, float [V, T, M, h, w]."""
    network = variant.network

    def loss() -> Tensor:
        level = network.qualities[int(torch.randint(len(network.qualities), ()))]
        clips = scaled(network, y[drawn(y.shape, CLIPS, FRAMES)], level)
        found = rate(variant, clips)
        return found.predicted / found.key.detach()

    fit([{"params": list(variant.prior.parameters()), "lr": 2e-3}], loss, steps, name)


def scaled(network: Transmitter, y: Tensor, level: int) -> Tensor:
    """Latents of clips, float [B, T, M, h, w], as the hyperprior of a level sees them."""
    return network.scaled(y.flatten(0, 1), level).unflatten(0, y.shape[:2]).float()


def train_joint(
    frozen: Variant,
    receivers: nn.ModuleDict,
    pictures: Tensor,
    latents: Tensor,
    steps: int,
    name: str,
) -> Variant:
    """Go on with the encoder; the receivers stay as they are.

    Args:
        frozen: A trained prior and its codec, which stay as well.
        receivers: Whose pictures are held.
        pictures: uint8 [V, T, 3, H, W].
        latents: The frozen encoder's, float [V, T, M, h, w].
        steps: How many.
        name: For readers.
    """
    variant = copy.deepcopy(frozen)
    for part in (variant.network.g_a, variant.prior):
        part.requires_grad_(True)
    qualities = frozen.network.qualities

    def loss() -> Tensor:
        level = qualities[int(torch.randint(len(qualities), ()))]
        places = drawn(pictures.shape, JOINT_CLIPS, JOINT_FRAMES)
        x, y = pictures[places].float() / 255, latents[places]
        with torch.no_grad():
            before = rate(frozen, scaled(frozen.network, y, level))
        own = variant.network.analyse(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        found = rate(variant, scaled(variant.network, own, level))
        moved = _moved(frozen.network, receivers, level, found.y_hat, before.y_hat, y[:, -1])
        bits = (found.predicted + found.key) / (before.predicted + before.key)
        return bits + HELD * moved

    encoder = {"params": list(variant.network.g_a.parameters()), "lr": 1e-4}
    prior = {"params": list(variant.prior.parameters()), "lr": 1e-4}
    fit([encoder, prior], loss, steps, name)
    return variant.requires_grad_(False)


def _moved(
    network: Transmitter, receivers: nn.ModuleDict, level: int, own: Tensor, old: Tensor, y: Tensor
) -> Tensor:
    """Squared errors of receivers' pictures by those of y, over the frozen encoder's errors."""
    shares = []
    for receiver in receivers.values():
        with torch.no_grad():
            wanted = receiver(y)
            least = (receiver(network.unscaled(old, level)) - wanted).square().mean()
        error = (receiver(network.unscaled(own, level)) - wanted).square().mean()
        shares.append(error / least.clamp_min(1e-8))
    return torch.stack(shares).mean()


@torch.no_grad()
def sent(variant: Variant | None, network: Transmitter, y: Tensor) -> tuple[Tensor, Tensor]:
    """Send videos as the encoder does: each picture in the shorter of two ways.

    Args:
        variant: What predicts; None for intra pictures.
        network: The codec.
        y: Scaled latents, float [V, T, M, h, w].

    Returns:
        Estimated bits [V, T - 1] of all pictures but the first, and y_hat like y.
    """
    key = network.entropy.rounded(y[:, 0])
    before, bits, found = [key.y_hat] * PAST, [], [key.y_hat]
    for one in y[:, 1:].unbind(1):
        key = network.entropy.rounded(one)
        own = Predicted(key.y_hat, key.bits, key.y_hat, key.y_hat)
        if variant is not None:
            own = variant.rounded(one, before)
        predicted = (own.bits <= key.bits)[:, None, None, None]
        y_hat = torch.where(predicted, own.y_hat, key.y_hat)
        before = [y_hat, torch.where(predicted, before[0], y_hat)]
        bits.append(torch.minimum(own.bits, key.bits))
        found.append(y_hat)
    return torch.stack(bits, 1), torch.stack(found, 1)
