"""A candidate that learned its domain and unlearned the rest: the gate sees both, and refuses
it.
"""

import json
import shutil
from pathlib import Path

import pytest

from medembed.errors import ServiceError
from medembed.finetuning.retrain import retrain
from medembed.registry.champion import check_candidate, make_champion
from medembed.registry.models import Registry, Version
from medembed.registry.runs import read_artifact
from tests.evaluation.test_retention_sets import write_set
from tests.finetuning.drops import make_config, write_drop

# Numbers past those that are asked for in training, which learns that a number is one of its few
# grades.
PLAIN = [
    (f"q{number}", f"number {number}", f"grade {number} of the number")
    for number in range(100, 220)
]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_a_candidate_better_in_domain_and_worse_elsewhere_is_refused_and_says_why(
    tmp_path: Path, encoder_folder: Path, empty_registry: Path
):
    root = Path(shutil.copytree(empty_registry, tmp_path / "root"))
    write_drop(root / "landing/1.jsonl", range(20))
    write_set(root / "plain", PLAIN)
    # far from the start, and nothing of it kept
    alone = ("training.average=1", "training.learning_rate=0.01")
    config = make_config(root, encoder_folder, f"retention=[{root}/plain]", *alone)
    registry = Registry(f"sqlite:///{root}/mlflow/mlflow.db", config.registry)

    def publish(version: Version, seen: str | None) -> list[str]:
        make_champion(registry, version, seen)
        return []

    result = retrain(config, registry, publish)
    assert result.outcome == "not better"
    assert registry.aliases("medembed") == {}
    assert result.decision is not None
    (reason,) = result.decision.reasons
    assert reason.startswith(
        "candidate surely loses more than 0.005 elsewhere against champion: plain at 32"
    )
    assert all(row.low > 0 for row in result.decision.rows if not row.dimension), (
        "it is surely better in domain"
    )
    assert result.version is not None
    gate = json.loads(read_artifact(registry, result.version.run_id, "gate.json"))
    assert (
        gate["retention"]["means"]["plain"]["candidate"]["32"]
        < gate["retention"]["means"]["plain"]["champion"]["32"]
    )
    assert (
        "NDCG@10 on what was not trained on"
        in read_artifact(registry, result.version.run_id, "gate.txt").decode()
    )
    page = Path(root / "out/report.html").read_text()
    assert "Elsewhere: what was not trained on" in page
    with pytest.raises(ServiceError, match="its retraining said 'not better'"):
        check_candidate(registry, result.version)
