"""What a trial reports is read from its checkpoint's history."""

import json
from pathlib import Path

from medembed.lineage import CheckpointManifest
from medembed.training.record.card import HISTORY
from medembed.training.record.checkpoint import Checkpoint
from medembed.tuning.trial import measurements
from medembed.tuning.trials import EXAMPLES, OBJECTIVE
from tests.tuning.configs import make_config


def test_a_trial_is_worth_its_scores_less_what_was_lost_elsewhere(tmp_path: Path):
    history = [
        {"step": 5, "loss": 1.0, "learning_rate": 0.1},
        {
            "step": 10,
            "score": -0.6,
            "average": 0.8,
            "dev_ndcg@10/64": 0.7,
            "elsewhere/tico/64": 0.1,
        },
        {"step": 20, "score": 0.6, "average": 1.0, "dev_ndcg@10/64": 0.6, "elsewhere/tico/64": 0.5},
    ]
    (tmp_path / HISTORY).write_text(json.dumps(history))
    checkpoint = Checkpoint(str(tmp_path), CheckpointManifest(files=(HISTORY,)))
    config = make_config({"batch_size": 8, "accumulation_steps": 2, "workers": 3}, pairs=4000)
    assert list(measurements(checkpoint, {}, config)) == [
        {OBJECTIVE: -0.6, EXAMPLES: 480, "ndcg@10/64": 0.7},
        {OBJECTIVE: 0.6, EXAMPLES: 960, "ndcg@10/64": 0.6},
    ]
