"""How a task's predictions are kept by picture, and scored over pictures or videos.

The metrics of this room score one pass for mmengine's evaluator. An experiment keeps what was
predicted for every picture, so that it can be resumed and resampled: that is what judges are for.
Which judge a task has follows from its metric in the config, beside which it stands.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from vcm_mt.datasets.annotations import Annotations

Entry = dict[str, Any]


class Judge(ABC):
    """Judges one task by the annotations of its metric.

    Args:
        task: The task's name.
        metric: Its metric's config.
        classes: The data set's.

    Attributes:
        kind: What is judged, for the record of a point.
        main: The score that the task is told by.
    """

    main: str
    kind: str

    def __init__(self, task: str, metric: Any, classes: Sequence[str]) -> None:
        self.task, self.classes = task, classes
        self.ann_file: str = metric.get("ann_file") or ""

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 over what the task is judged by."""

    @abstractmethod
    def check(self, picture: dict[str, Any]) -> None:
        """Make sure that a picture can be judged.

        Args:
            picture: Its record in the data set.

        Raises:
            DataError: When it cannot.
        """

    @abstractmethod
    def entries(self, number: Any, found: Any, sample: Any) -> list[Entry]:
        """What is kept of a picture, as plain values for JSON.

        Args:
            number: The picture's ``img_id``.
            found: What the task predicted, see :meth:`vcm_mt.models.tasks.Task.predict`.
            sample: The picture's data sample.
        """

    @abstractmethod
    def scores(self, entries: Sequence[Entry], units: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """What the scores follow from, by the score's name.

        Args:
            entries: Of all pictures.
            units: The pictures' ``img_id`` by what is measured as a whole.

        Returns:
            :class:`Matches` or :class:`Counts`.
        """

    def further(self, entries: Sequence[Entry], numbers: Sequence[Any]) -> dict[str, float]:  # noqa: ARG002
        """Further scores by name, in percent, that are not resampled."""
        return {}

    def names(self) -> dict[int, str]:
        """The objects' categories, for readers; none where no objects are found."""
        return {}

    def objects(self, number: Any) -> list[Entry]:  # noqa: ARG002
        """The true objects of a picture in COCO's form, for readers."""
        return []


def digest_of(truth: Annotations) -> str:
    """SHA-256 over annotations."""
    return hashlib.sha256(json.dumps(truth.dataset, sort_keys=True).encode()).hexdigest()
