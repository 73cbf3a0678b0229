import json
from pathlib import Path

import yaml

from medembed.lineage import (
    CheckpointManifest,
    DatasetManifest,
    ExamplesManifest,
    Origin,
    Source,
    TextFacts,
)
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import LossConfig
from medembed.training.options import AdapterConfig
from medembed.training.record.card import describe_checkpoint, framework_versions, write_card

CHECKPOINT = CheckpointManifest(
    origin=Origin(
        dataset=Source("d0"),
        examples=Source("e0"),
        parent=Source("p0", "s3://user:secret@host/base"),
    ),
    fingerprint="f0",
    dimensions=(384, 64),
    dev={"step": 40, "score": 0.5, "ndcg@10/384": 0.61, "ndcg@10/64": 0.5},
)
DATASET = DatasetManifest(
    counts={"documents": 1200, "queries": 900},
    splits={"train": 800, "dev": 100},
    documents=TextFacts({"no": 1000, "fr": 200}),
    queries=TextFacts({"en": 900}),
    licence="CC BY 4.0",
)
EXAMPLES = ExamplesManifest(counts={"pairs": 800, "examples": 800})
CONFIG = TrainingConfig(
    dimensions=(384, 64),
    weights=(1.0, 2.0),
    accumulation_steps=2,
    adapter=AdapterConfig(kind="lora"),
)


def test_the_card_says_where_the_model_comes_from_and_how_good_it_is():
    card = write_card(CHECKPOINT, CONFIG, DATASET, EXAMPLES, has_curves=True)
    _, front, _ = card.split("---\n", 2)
    assert yaml.safe_load(front)["language"] == ["en", "fr", "no"], "Norwegian is no boolean"
    for fact in (
        "(encoder p0)",
        "data set d0",
        "1,200 documents",
        "800 examples",
        "CC BY 4.0",
        "| 384 | 0.6100 |",
        "| 64 | 0.5000 |",
        "{384: 1, 64: 2}",
        "Loss multiple_negatives",
        "64 examples see each other, 128 change",
        "by LORA, merged",
        "truncate_dim=64",
        "normalize_embeddings=True",
        f"torch {framework_versions()['torch']}",
        "(curves.png)",
    ):
        assert fact in card, fact
    assert "secret" not in card
    settings = card.partition("```yaml\n")[2].partition("```")[0]
    assert TrainingConfig.model_validate(yaml.safe_load(settings)) == CONFIG


def test_what_is_not_known_or_does_not_apply_is_not_said():
    bare = DatasetManifest(counts={"documents": 3})
    config = TrainingConfig(dimensions=(384, 64), loss=LossConfig(name="triplet"))
    card = write_card(CHECKPOINT, config, bare, EXAMPLES, has_curves=False)
    assert "licence of the data: not named" in card
    assert "language" not in card.split("---\n", 2)[1]
    assert "curves.png" not in card
    assert "weights {384: 1, 64: 1}; 64 change the weights together" in card, "it does not rank"


def test_history_and_curves_lie_beside_the_card(tmp_path: Path):
    history = [
        {"step": 1.0, "loss": 2.0, "learning_rate": 1e-4},
        {"step": 2.0, "loss": 1.0, "learning_rate": 0.0},
    ]
    describe_checkpoint(tmp_path, CHECKPOINT, CONFIG, DATASET, EXAMPLES, history)
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", "history.json", "curves.png"}
    assert json.loads((tmp_path / "history.json").read_text()) == history
    (tmp_path / "curves.png").unlink()
    describe_checkpoint(tmp_path, CHECKPOINT, CONFIG, DATASET, EXAMPLES, [])
    assert not (tmp_path / "curves.png").exists()
