"""The adapter for trackers of mmdet."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.structures import DetDataSample, TrackDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from vcm_mt.checkpoint import load_strictly, read_state_dict
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.models.tasks.detector_config import read_tracker
from vcm_mt.models.tasks.detector_modes import (
    feature_maps,
    heads_training,
    maps_of,
    mmdet_scope,
    quietly,
    running,
)
from vcm_mt.models.tasks.mmdet_task import MMDetTask
from vcm_mt.models.tasks.seeded_sampling import drawing_by_picture, samplers_of
from vcm_mt.registry import MODELS

_DETECTOR = "detector."


@MODELS.register_module()
class MMTrackTask(MMDetTask):
    """A tracker behind the decoder: it finds objects in each frame, and follows them.

    In training, its detector's losses are those of :class:`MMDetTask`, on all frames. A tracker
    that learns embeddings (QDTrack, https://arxiv.org/abs/2006.06664, which detects and embeds
    jointly) adds their loss on pairs of consecutive frames. Trackers that only associate boxes
    (ByteTrack, OC-SORT) have none.

    Args:
        tracker: ``mmdet::...`` or ``vcm_mt::...`` name or path of a config, or a dict with
            the model's config itself.
        checkpoint: Weights of the tracker, or of its detector alone; ``None`` for random ones.
        track_weight: Factor of the loss of the embeddings. It needs clips of :attr:`frames`
            frames, see :class:`vcm_mt.datasets.clips.ClipDataset`. 0 skips it.
        **kwargs: Other arguments of :class:`MMDetTask`.

    Attributes:
        frames: How many frames of a video a clip for its training has.

    Raises:
        ConfigError: See :class:`MMDetTask`, or if the config has no tracker.
    """

    frames = 2
    of_videos = True

    def __init__(
        self,
        tracker: str | dict[str, Any],
        checkpoint: str | None = None,
        track_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        plan = read_tracker(tracker)
        with mmdet_scope():
            super().__init__(plan.detector, None, **kwargs)
            self.model = MMDET_MODELS.build(plan.rest)
        # An attribute, not a module: the detector's weights are this task's own already.
        self.model.__dict__["detector"] = self.detector
        self.track_weight = track_weight if self.model.with_track_head else 0.0
        self._pair_samplers = samplers_of(self.model)
        self._next: tuple[Any, int] | None = None
        if checkpoint:
            self._load(checkpoint)
        else:
            with quietly():
                self.model.init_weights()

    def _load(self, checkpoint: str) -> None:
        state = read_state_dict(checkpoint)
        own = {k.removeprefix(_DETECTOR): v for k, v in state.items() if k.startswith(_DETECTOR)}
        rest = {k: v for k, v in state.items() if not k.startswith(_DETECTOR)}
        if not own and not self.model.with_track_head:
            own, rest = rest, {}
        load_strictly(self.detector, own, checkpoint)
        if self.model.state_dict():
            load_strictly(self.model, rest, checkpoint)

    def _own_loss(
        self,
        detector: Any,
        inputs: Tensor,
        samples: list[DetDataSample],
        data_samples: list[Any],
    ) -> dict[str, Tensor]:
        with maps_of(detector) as maps:
            losses = super()._own_loss(detector, inputs, samples, data_samples)
        if not self.track_weight:
            return losses
        found = self._embedding_loss(feature_maps(maps[0]), samples, data_samples)
        return losses | {name: self.track_weight * value for name, value in found.items()}

    def _embedding_loss(
        self, maps: list[Tensor], samples: list[DetDataSample], data_samples: list[Any]
    ) -> dict[str, Tensor]:
        """The loss of the embeddings, over pairs that share an object."""
        pairs = [pair for pair in _pairs(data_samples) if _share(*(samples[n] for n in pair))]
        if not pairs:
            return {"loss_track": 0 * maps[0].sum()}
        with torch.no_grad():
            proposals = self.detector.rpn_head.predict(maps, samples, rescale=False)
        keys, others = (list(numbers) for numbers in zip(*pairs, strict=True))
        key_proposals = [_copied(proposals[n]) for n in keys]
        for one in key_proposals:
            one.priors = one.pop("bboxes")  # as QDTrack.loss hands them over
        videos = []
        for pair in pairs:
            video = TrackDataSample(metainfo={"key_frames_inds": [0], "ref_frames_inds": [1]})
            video.video_data_samples = [samples[n] for n in pair]
            videos.append(video)
        with (
            heads_training(self.model),
            drawing_by_picture(self._pair_samplers),
            warnings.catch_warnings(),
        ):
            # mmdet's head uses a name of a sampling result that mmdet calls deprecated.
            warnings.filterwarnings("ignore", message="DeprecationWarning: (pos_)?bboxes is")
            losses: dict[str, Tensor] = self.model.track_head.loss(
                [one[keys].contiguous() for one in maps],
                [one[others].contiguous() for one in maps],
                key_proposals,
                [_copied(proposals[n]) for n in others],
                videos,
            )
        return losses

    @torch.no_grad()
    def predict(self, x_hat: Tensor, data_samples: list[Any]) -> list[InstanceData]:
        """Boxes in native coordinates, and ``instances_id``, the number of each one's track.

        Args:
            x_hat: Frames in order, float [B, 3, H, W], RGB in [0, 1].
            data_samples: With ``video_id`` and ``frame_id`` in their metainfo. A frame that does
                not follow the one before begins new tracks.

        Raises:
            ConfigError: If a data sample has no ``video_id`` or ``frame_id``.
        """
        found = []
        for number, sample in enumerate(data_samples):
            place = tuple(sample.metainfo.get(name) for name in ("video_id", "frame_id"))
            if None in place:
                raise ConfigError(
                    "a tracker needs the frames of a video: a VideoDataset, and vcm_mt.PackFrame "
                    "at the end of its pipeline"
                )
            if place != self._next:
                self.model.tracker.reset()
            self._next = (place[0], place[1] + 1)
            found.append(self._tracked(x_hat[number : number + 1], sample))
        return found

    def _tracked(self, x_hat: Tensor, data_sample: Any) -> InstanceData:
        inputs, (sample,) = self.geometry.prepare(x_hat, [data_sample], with_truth=False)
        sample.set_metainfo({"frame_id": data_sample.metainfo["frame_id"]})
        video = TrackDataSample()
        video.video_data_samples = [sample]
        with running(inputs):
            (seen,) = self.model.predict(inputs[None], [video])
        tracks: InstanceData = seen[0].pred_track_instances
        return tracks


def _pairs(data_samples: list[Any]) -> list[tuple[int, int]]:
    """The numbers of consecutive frames of a clip.

    Raises:
        DataError: If there are none.
    """
    places = [sample.metainfo.get("clip_place", 0) for sample in data_samples]
    pairs = [(n - 1, n) for n in range(1, len(places)) if places[n] == places[n - 1] + 1]
    if not pairs:
        raise DataError(
            "a tracker learns from clips of two frames or more: use a ClipDataset, or set "
            "track_weight=0"
        )
    return pairs


def _share(first: DetDataSample, second: DetDataSample) -> bool:
    """Whether an object is in both frames."""
    for sample in (first, second):
        if "instances_ids" not in sample.gt_instances:
            raise DataError(
                "a tracker's loss needs the objects' tracks: mmdet.LoadTrackAnnotations and "
                "vcm_mt.PackFrame in the pipeline, or set track_weight=0"
            )
    known, others = (set(s.gt_instances.instances_ids.tolist()) for s in (first, second))
    return bool((known & others) - {0})


def _copied(proposals: InstanceData) -> InstanceData:
    return InstanceData(**dict(proposals.items()))
