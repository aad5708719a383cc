"""Several data sets in one training, each for the tasks that its annotations serve."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Dataset

from vcm_mt.datasets.sampler import Draw
from vcm_mt.errors import ConfigError
from vcm_mt.registry import DATASETS


@DATASETS.register_module()
class TaskMixture(Dataset[list[Any]]):
    """Batches of one data set after another, for stage 1 through tasks on different pictures.

    An element is a whole batch out of one data set, so that pictures of one size stay together.
    ``for_tasks`` in the metainfo of its data samples names the tasks whose loss they are for. Load
    it with ``batch_size=1`` and ``collate_fn=dict(type="vcm_mt.flat_collate")``.

    Args:
        sources: By name, each a dict of ``dataset``, the config of a data set of pictures or clips;
            ``count``, pictures or clips of a batch; ``tasks``, names of tasks.

    Raises:
        ConfigError: If there is no source, or one serves no task.
    """

    def __init__(self, sources: dict[str, dict[str, Any]]) -> None:
        for name, source in sources.items():
            if not source.get("tasks") or source.get("count", 1) < 1:
                raise ConfigError(f"the source {name} needs tasks, and a count of 1 or more")
        if not sources:
            raise ConfigError("a mixture needs a source")
        self.tasks = [tuple(source["tasks"]) for source in sources.values()]
        self.counts = [int(source.get("count", 1)) for source in sources.values()]
        self.sources = [DATASETS.build(source["dataset"]) for source in sources.values()]

    @property
    def metainfo(self) -> dict[str, Any]:
        """That of the first source."""
        known: dict[str, Any] = self.sources[0].metainfo
        return known

    def get_data_info(self, index: int) -> dict[str, Any]:
        """The record of the first picture of a batch."""
        source, places = self._places(index)
        record: dict[str, Any] = self.sources[source].get_data_info(places[0])
        return record

    def __len__(self) -> int:
        """Batches until every source was seen as a whole; smaller ones are repeated."""
        batches = (len(s) // n for s, n in zip(self.sources, self.counts, strict=True))
        return len(self.sources) * max(1, *batches, 1)

    def __getitem__(self, index: int) -> list[Any]:
        """The pictures of a batch, or the frames of its clips."""
        source, places = self._places(int(index))
        words = getattr(index, "words", (0, int(index)))
        found = []
        for place in places:
            draw = Draw(place)
            draw.words = (*words, place)
            one = self.sources[source][draw]
            for packed in one if isinstance(one, list) else [one]:
                packed["data_samples"].set_metainfo({"for_tasks": self.tasks[source]})
                found.append(packed)
        return found

    def _places(self, index: int) -> tuple[int, list[int]]:
        """The source of a batch, and its elements there."""
        source, first = index % len(self.sources), index // len(self.sources)
        size, count = len(self.sources[source]), self.counts[source]
        return source, [(first * count + number) % size for number in range(count)]
