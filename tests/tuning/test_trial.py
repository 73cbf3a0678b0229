"""Check what a trial is worth, and that retention sets may make another one the winner."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from medembed.lineage import CheckpointManifest
from medembed.training.record.card import HISTORY
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.history import TRAINER_STATE, clean_history, record_dev
from medembed.training.record.retention_samples import RetentionSamples
from medembed.training.trial import Rungs
from medembed.tuning.config import TuneConfig
from medembed.tuning.trial import measurements
from medembed.tuning.trials import EXAMPLES, OBJECTIVE
from tests.tiny import SIGNS, SUBJECTS
from tests.training.test_scoring import CONFIG, OTHER, start_scorer
from tests.tuning.configs import make_config

SEARCH = {"training.learning_rate": {"log_uniform": [1e-4, 1e-2]}}
TRAINING = CONFIG.model_copy(update={"average": 1.0, "batch_size": 8})
TUNE = TuneConfig(model="base", data="data", output="out", training=TRAINING, search=SEARCH)
# trials, by the words that each makes one and the same
TRIALS = {"forgets what is elsewhere": [*SIGNS[5:], *SUBJECTS[4:9]], "learns less": SIGNS[:5]}


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


@pytest.mark.parametrize(
    ("elsewhere", "best"), [({}, "forgets what is elsewhere"), ({"other": OTHER}, "learns less")]
)
def test_another_trial_wins_where_retention_counts(
    elsewhere: dict, best: str, encoder_folder: Path, tmp_path: Path
):
    objectives = {}
    for name, words in TRIALS.items():
        scorer = start_scorer(encoder_folder, RetentionSamples(elsewhere), TRAINING)
        forget_words(scorer.encoder.model, words)
        metrics = scorer.measure(Rungs((10,), TUNE.weights))
        checkpoint = write_checkpoint(tmp_path / name, metrics)
        objectives[name] = max(
            float(measured[OBJECTIVE]) for measured in measurements(checkpoint, {}, TUNE)
        )
    assert max(objectives, key=lambda name: objectives[name]) == best


def forget_words(model, words: list[str]) -> None:
    ids = sorted({token for text in words for token in model.tokenizer(text)["input_ids"][1:-1]})
    table = next(
        tensor
        for name, tensor in model.named_parameters()
        if name.endswith("word_embeddings.weight")
    )
    with torch.no_grad():
        table[ids] = table[ids].mean(0, keepdim=True)


def write_checkpoint(folder: Path, metrics: dict[str, float]) -> Checkpoint:
    """Write the history that a training with these metrics would have left."""
    state = SimpleNamespace(global_step=4, log_history=[])
    state.save_to_json = lambda path: Path(path).write_text(
        json.dumps({"log_history": state.log_history})
    )
    folder.mkdir()
    record_dev(state, folder, metrics)
    logged = json.loads((folder / TRAINER_STATE).read_text())["log_history"]
    (folder / HISTORY).write_text(json.dumps(clean_history(logged)))
    return Checkpoint(str(folder), CheckpointManifest(files=(HISTORY,)))
