"""YOLOX in mmdet: its authors' weights in mmdet's names, and a head that reports all classes.

The authors' checkpoints (https://github.com/Megvii-BaseDetection/YOLOX) hold the networks that
mmdet builds from its ``yolox/`` configs, under other names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from mmdet.models.dense_heads import YOLOXHead
from mmengine.structures import InstanceData
from torch import Tensor

from vcm_mt.registry import MODELS

#: The authors' names of blocks, as patterns, and mmdet's.
_BLOCKS = (
    (r"backbone\.backbone\.stem\.", "backbone.stem."),
    (
        r"backbone\.backbone\.dark([2-5])\.(\d)\.",
        lambda m: f"backbone.stage{int(m[1]) - 1}.{m[2]}.",
    ),
    (r"backbone\.lateral_conv0\.", "neck.reduce_layers.0."),
    (r"backbone\.reduce_conv1\.", "neck.reduce_layers.1."),
    (r"backbone\.C3_p4\.", "neck.top_down_blocks.0."),
    (r"backbone\.C3_p3\.", "neck.top_down_blocks.1."),
    (r"backbone\.bu_conv2\.", "neck.downsamples.0."),
    (r"backbone\.bu_conv1\.", "neck.downsamples.1."),
    (r"backbone\.C3_n3\.", "neck.bottom_up_blocks.0."),
    (r"backbone\.C3_n4\.", "neck.bottom_up_blocks.1."),
    (r"head\.stems\.", "neck.out_convs."),
    (r"head\.(cls|reg)_convs\.", r"bbox_head.multi_level_\1_convs."),
    (r"head\.(cls|reg|obj)_preds\.", r"bbox_head.multi_level_conv_\1."),
)
#: Layers inside the blocks. The C3 blocks' own come first: their ``m`` are bottlenecks, whose
#: ``conv1`` and ``conv2`` keep their names.
_CSP = {"conv1": "main_conv", "conv2": "short_conv", "conv3": "final_conv"}
_DEPTHWISE = {"dconv": "depthwise_conv", "pconv": "pointwise_conv"}


def in_mmdets_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of YOLOX's authors; any other is returned as it is."""
    if "backbone.backbone.stem.conv.conv.weight" not in state:
        return dict(state)
    csp = {match[1] for name in state if (match := re.match(r"(.*\.)conv3\.", name))}
    return {_renamed(name, csp): value for name, value in state.items()}


def _renamed(name: str, csp: set[str]) -> str:
    block = next((one for one in csp if name.startswith(one)), None)
    if block is not None:
        first, rest = name.removeprefix(block).split(".", 1)
        name = f"{block}{'blocks' if first == 'm' else _CSP[first]}.{rest}"
    name = re.sub(r"\b(dconv|pconv)\b", lambda match: _DEPTHWISE[match[1]], name)
    for pattern, replacement in _BLOCKS:
        name, count = re.subn(f"^{pattern}", replacement, name)
        if count:
            break
    return name


@MODELS.register_module()
class AllClassesYOLOXHead(YOLOXHead):
    """YOLOX's head, which reports each box once for every class above the score threshold.

    mmdet's own reports its best class alone. The classes that come second are worth a third of a
    point of COCO's mAP to YOLOX-nano.
    """

    def predict_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        objectnesses: list[Tensor],
        batch_img_metas: list[dict[str, Any]],
        cfg: Any = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> list[InstanceData]:
        """Boxes, scores and labels of each picture; see mmdet's ``YOLOXHead``."""
        cfg = self.test_cfg if cfg is None else cfg
        first = cls_scores[0]
        priors = self.prior_generator.grid_priors(
            [one.shape[-2:] for one in cls_scores], first.dtype, first.device, with_stride=True
        )
        classes, deltas, objects = (
            torch.cat([one.permute(0, 2, 3, 1).flatten(1, 2) for one in maps], 1)
            for maps in (cls_scores, bbox_preds, objectnesses)
        )
        boxes = self._bbox_decode(torch.cat(priors), deltas)
        results = []
        for box, scores, meta in zip(
            boxes, classes.sigmoid() * objects.sigmoid(), batch_img_metas, strict=True
        ):
            place, label = (scores >= cfg.score_thr).nonzero(as_tuple=True)
            found = InstanceData(bboxes=box[place], scores=scores[place, label], labels=label)
            results.append(self._bbox_post_process(found, cfg, rescale, with_nms, meta))
        return results
