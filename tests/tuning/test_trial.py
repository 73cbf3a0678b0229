"""What a trial is worth where retention sets are given: the winner is another one."""

import json
from pathlib import Path
from types import SimpleNamespace

import torch

from medembed.lineage import CheckpointManifest
from medembed.training.record.card import HISTORY
from medembed.training.record.checkpoint import Checkpoint
from medembed.training.record.history import TRAINER_STATE, clean_history, record_dev
from medembed.training.record.retention_samples import RetentionSamples
from medembed.training.trial import Rungs
from medembed.tuning.config import TuneConfig
from medembed.tuning.trial import measurements
from medembed.tuning.trials import OBJECTIVE
from tests.tiny import SIGNS, SUBJECTS
from tests.training.test_scoring import CONFIG, OTHER, start_scorer

TRAINING = CONFIG.model_copy(update={"average": 1.0, "batch_size": 8})
SEARCH = {"training.learning_rate": {"log_uniform": [1e-4, 1e-2]}}
TUNE = TuneConfig(model="base", data="data", output="out", training=TRAINING, search=SEARCH)
NARROW = {"forgets what is elsewhere": [*SIGNS[5:], *SUBJECTS[4:9]], "learns less": SIGNS[:5]}


def forget_words(model, words: list[str]) -> None:
    """Makes the words of these texts one and the same."""
    ids = sorted({token for text in words for token in model.tokenizer(text)["input_ids"][1:-1]})
    table = next(
        p for name, p in model.named_parameters() if name.endswith("word_embeddings.weight")
    )
    with torch.no_grad():
        table[ids] = table[ids].mean(0, keepdim=True)


def course(base: Path, words: list[str], elsewhere: RetentionSamples, folder: Path) -> float:
    """The best objective of a trial that forgets these words, from the history that its checkpoint
    has.
    """
    scorer = start_scorer(base, elsewhere, TRAINING)
    forget_words(scorer.encoder.model, words)
    metrics = scorer.measure(Rungs((10,), TUNE.weights))
    state = SimpleNamespace(global_step=4, log_history=[])
    state.save_to_json = lambda path: Path(path).write_text(
        json.dumps({"log_history": state.log_history})
    )
    folder.mkdir()
    record_dev(state, folder, metrics)
    logged = json.loads((folder / TRAINER_STATE).read_text())["log_history"]
    (folder / HISTORY).write_text(json.dumps(clean_history(logged)))
    checkpoint = Checkpoint(str(folder), CheckpointManifest(files=(HISTORY,)))
    return max(float(measured[OBJECTIVE]) for measured in measurements(checkpoint, {}, TUNE))


def winner(base: Path, elsewhere: RetentionSamples, folder: Path) -> str:
    worth = {name: course(base, words, elsewhere, folder / name) for name, words in NARROW.items()}
    return max(worth, key=lambda name: worth[name])


def test_another_trial_wins_where_retention_counts(encoder_folder: Path, tmp_path: Path):
    (tmp_path / "without").mkdir()
    (tmp_path / "with").mkdir()
    assert (
        winner(encoder_folder, RetentionSamples(), tmp_path / "without")
        == "forgets what is elsewhere"
    )
    assert (
        winner(encoder_folder, RetentionSamples({"other": OTHER}), tmp_path / "with")
        == "learns less"
    )
