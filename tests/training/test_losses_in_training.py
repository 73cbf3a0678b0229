"""Each kind of loss in a real trainer: its columns pass the collator, its parts are logged, its
weights change.
"""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from transformers import set_seed

from medembed.training.config import TrainingConfig
from medembed.training.loss_config import TRAITS, LossConfig, LossName
from medembed.training.record.progress_state import TrainingState
from medembed.training.rows.batch_columns import (
    Columns,
    TrainingTexts,
    to_columns,
    to_triplets,
)
from medembed.training.run.build import build_trainer, load_student, plan_run
from tests.training.small import CONFIG, SaveAt, make_examples

EXAMPLES = make_examples(18)
EXAMPLES[1] |= {"negatives": [], "negative_ids": []}
TEXTS = [row["positive"] for row in EXAMPLES]
PAIRS = {"query": [row["query"] for row in EXAMPLES], "document": TEXTS}
SCORES = [number / 17 for number in range(18)]
CASES: dict[str, Columns] = {
    "multiple_negatives": to_columns(EXAMPLES),
    "multiple_negatives, cached": to_columns(EXAMPLES),
    "multiple_negatives, guided": to_columns(EXAMPLES),
    "triplet": to_triplets(EXAMPLES),
    "cosine_similarity": PAIRS | {"label": SCORES},
    "contrastive": PAIRS | {"label": [float(score > 0.5) for score in SCORES]},
    "batch_hard": {"text": TEXTS, "label": [number % 4 for number in range(18)]},
    "distill": {"text": TEXTS, "label": list(range(18))},
}
VECTORS = np.sin(np.arange(18)[:, None] + np.arange(32)).astype(np.float32)


def train(folder: Path, scratch: Path, columns: Columns, **settings: Any) -> Any:
    config = TrainingConfig.model_validate(
        CONFIG.model_dump()
        | {"batch_size": 4, "accumulation_steps": 2, "weights": (1.0, 3.0)}
        | settings
    )
    set_seed(0)
    student = load_student(str(folder), config)
    texts = TrainingTexts(columns, vectors=VECTORS)
    plan = plan_run(texts, config, TrainingState(1), 1)
    trainer = build_trainer(student, texts, config, plan, SaveAt(), str(scratch))
    trainer.train()
    return trainer


def test_every_loss_has_traits_whose_options_exist_and_is_trained_here():
    assert {name.partition(",")[0] for name in CASES} == set(TRAITS) == set(get_args(LossName))
    for traits in TRAITS.values():
        assert set(traits.options) <= LossConfig.model_fields.keys()


@pytest.mark.parametrize("name", CASES)
def test_a_loss_trains_and_logs_its_parts_of_which_it_is_the_weighted_mean(
    name: str, encoder_folder: Path, tmp_path: Path
):
    before = {
        key: tensor.clone()
        for key, tensor in load_student(
            str(encoder_folder), CONFIG
        ).encoder.model.named_parameters()
    }
    loss = LossConfig(
        name=name.partition(",")[0],
        guide=str(encoder_folder) if name == "distill" or "guided" in name else None,
        mini_batch_size=3 if "cached" in name else None,
    )
    trainer = train(encoder_folder, tmp_path, CASES[name], loss=loss)
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(logged) == 2, "16 rows of 17 or 18, or in pairs, in steps of two batches of four"
    for entry in logged:
        parts = [entry["loss/32"], entry["loss/8"]]
        assert entry["loss"] == pytest.approx((parts[0] + 3 * parts[1]) / 4, abs=2e-4)
        assert list(entry).index("loss/32") < list(entry).index("loss/8")
    assert any(
        not torch.equal(tensor, before[key]) for key, tensor in trainer.model.named_parameters()
    )


def test_nothing_is_dropped_where_a_teacher_is_followed(encoder_folder: Path):
    def dropped(name: LossName) -> set[float]:
        loss = LossConfig(name=name, guide=str(encoder_folder) if name == "distill" else None)
        model = load_student(str(encoder_folder), CONFIG.model_copy(update={"loss": loss}))
        modules = model.encoder.model.modules()
        return {module.p for module in modules if isinstance(module, torch.nn.Dropout)}

    assert dropped("multiple_negatives") == {0.1}
    assert dropped("distill") == {0.0}
