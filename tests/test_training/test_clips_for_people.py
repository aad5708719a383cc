"""Stage 2 for people on the clips of configs for tracks, actions, and actions of persons."""

import pytest

from vcm_mt.errors import ConfigError
from vcm_mt.training.config import load_config
from vcm_mt.training.finetune import for_tasks, use_bitstreams, use_pictures


@pytest.mark.parametrize("name", ["track", "action", "persons"])
def test_people_need_no_annotations_of_clips(name, tmp_path):
    config = load_config(f"configs/stage2_{name}.py")
    people = for_tasks(config, ["human"])
    clips = people.train_dataloader.dataset
    assert clips.type == "vcm_mt.ClipDataset"
    kinds = [step.type for step in clips.dataset.pipeline]
    assert kinds[0] == "vcm_mt.LoadPicture" and "vcm_mt.LoadAnnotations" not in kinds
    assert [metric.type for metric in people.val_evaluator] == ["CodingMetric"]
    use_pictures(people, tmp_path)
    assert clips.dataset.type == "PictureFolder" and "around" not in clips
    with pytest.raises(ConfigError, match="leave --from-bitstreams out"):
        use_bitstreams(for_tasks(config, [name]), tmp_path, tmp_path)


def test_persons_need_annotations(tmp_path):
    config = load_config("configs/stage2_persons.py")
    persons = for_tasks(config, ["persons"])
    kinds = [step.type for step in persons.train_dataloader.dataset.dataset.pipeline]
    assert "vcm_mt.LoadAnnotations" in kinds
    assert persons.model.tasks.persons.receiver == "persons"
    with pytest.raises(ConfigError, match="task persons needs annotations"):
        use_pictures(persons, tmp_path)
