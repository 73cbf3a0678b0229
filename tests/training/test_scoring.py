from pathlib import Path
from typing import Any

import pytest
import torch

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, load_model
from medembed.evaluation.config import RetentionConfig
from medembed.evaluation.sample import Sample
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import LossConfig
from medembed.training.model.average import Average
from medembed.training.record.retention_samples import RetentionSamples
from medembed.training.record.scoring import Scorer, has_choice
from medembed.training.trial import Rungs
from tests.tiny import SIGNS, SUBJECTS

CONFIG = TrainingConfig(dimensions=(32, 8), select_dimension=8, average=0.5)
BOTH = CONFIG.model_copy(update={"average": None, "loss": LossConfig(hold=0)})
CPU = torch.device("cpu")


def ask_for_themselves(texts: list[str]) -> Sample:
    """Each text asks for itself: a model that tells words apart ranks it first."""
    named = tuple((f"t{number:02}", text) for number, text in enumerate(texts))
    return Sample(
        named, named, {name: {name: 1.0} for name, _ in named}, tuple(name for name, _ in named)
    )


DEV = ask_for_themselves([f"{sign} {subject}" for sign in SIGNS[:5] for subject in SUBJECTS[:4]])
OTHER = ask_for_themselves(
    [f"{subject} with {sign}" for sign in SIGNS[5:] for subject in SUBJECTS[4:9]]
)


def load(folder: Path) -> Encoder:
    return Encoder(load_model(folder, EncodingConfig(), "cpu"), EncodingConfig())


def forget(model, share: float = 1.0) -> None:
    """Takes the difference between words out of the model, as a training does that goes too far."""
    words = word_table(model)
    with torch.no_grad():
        words.lerp_(words.mean(0, keepdim=True).expand_as(words), share)


def flip_words(
    folder: Path, words: list[str] | None, dev: Sample, elsewhere: RetentionSamples
) -> Scorer:
    """Return a scorer of a model whose start has these words, None: all, opposite.

    In the average with the start they are one and the same word.
    """
    start = load(folder)
    trained = {name: tensor.clone() for name, tensor in start.model.state_dict().items()}
    rows: Any = slice(None)
    if words is not None:
        rows = [start.model.tokenizer(word)["input_ids"][1] for word in words]
    with torch.no_grad():
        word_table(start.model)[rows] *= -1
    scorer = Scorer(start, dev, elsewhere, BOTH, CPU, Average(start.model, BOTH.shares))
    start.model.load_state_dict(trained)
    return scorer


def word_table(model: Any) -> torch.Tensor:
    (table,) = [
        parameter
        for name, parameter in model.named_parameters()
        if name.endswith("word_embeddings.weight")
    ]
    return table


def start_scorer(
    folder: Path, elsewhere: RetentionSamples, config: TrainingConfig = CONFIG
) -> Scorer:
    encoder = load(folder)
    return Scorer(encoder, DEV, elsewhere, config, CPU, Average(encoder.model, config.shares))


def test_the_score_is_that_of_the_dev_sample_where_nothing_is_lost(encoder_folder: Path):
    scorer = start_scorer(encoder_folder, RetentionSamples({"other": OTHER}))
    metrics = scorer.measure()
    assert metrics["score"] == metrics["ndcg@10/8"] > 0.9
    assert metrics["elsewhere/other/32"] > 0.9
    assert scorer.dev_values[8].mean() == metrics["ndcg@10/8"]
    assert set(metrics) == {
        "score",
        "average",
        *(f"{name}/{d}" for name in ("ndcg@10", "elsewhere/other") for d in (32, 8)),
    }
    rungs = Rungs((10,), {32: 3.0, 8: 1.0})
    assert scorer.measure(rungs)["score"] == pytest.approx(
        (3 * metrics["ndcg@10/32"] + metrics["ndcg@10/8"]) / 4
    )


@pytest.mark.parametrize(("tolerance", "taken"), [(0.05, 1.0), (0.99, 0.0)])
def test_what_surely_loses_elsewhere_stands_behind_all_that_does_not_and_the_tolerance_takes_nothing(
    tolerance: float, taken: float, encoder_folder: Path
):
    elsewhere = RetentionSamples({"other": OTHER}, RetentionConfig(tolerance=tolerance))
    scorer = start_scorer(encoder_folder, elsewhere, CONFIG.model_copy(update={"average": 1.0}))
    forget(scorer.encoder.model)
    metrics = scorer.measure()
    assert metrics["elsewhere/other/32"] < 0.5
    assert metrics["score"] <= metrics["ndcg@10/8"] - taken
    assert (metrics["score"] == metrics["ndcg@10/8"]) == (taken == 0)


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({}, (0.8, 1.0)),  # it holds long texts, and so keeps more of what it learned
        ({"average": 0.7}, (0.7,)),
        ({"loss": {"hold": 0}}, (0.5, 1.0)),
        ({"loss": {"name": "triplet"}}, (0.5, 1.0)),
        ({"loss": {"name": "distill", "guide": "t"}}, (1.0,)),  # the start is of another space
    ],
)
def test_the_average_and_what_was_trained_are_measured_unless_the_config_says_which(
    settings: Any, shares: tuple[float, ...]
):
    assert TrainingConfig(**settings).shares == shares


def test_the_average_counts_where_training_has_gone_too_far(encoder_folder: Path):
    scorer = start_scorer(encoder_folder, RetentionSamples({"other": OTHER}), BOTH)
    forget(scorer.encoder.model)
    assert scorer.measure()["average"] == 0.5


@pytest.mark.parametrize(("signs", "share"), [(1, 0.5), (5, 1.0)])
def test_where_nothing_from_elsewhere_is_measured_a_small_gain_is_no_reason_to_leave_the_average(
    signs: int, share: float, encoder_folder: Path
):
    """In the average two subjects are one word: texts about them with each of so many signs are
    mixed up.
    """
    mixed = list(SUBJECTS[:2])
    texts = [f"{sign} {subject}" for sign in SIGNS[:signs] for subject in mixed]
    texts += [f"{sign} {subject}" for sign in SIGNS[:5] for subject in SUBJECTS[2:8]]
    scorer = flip_words(encoder_folder, mixed, ask_for_themselves(texts), RetentionSamples())
    assert scorer.measure()["average"] == share


def test_samples_from_elsewhere_are_for_a_choice_among_checkpoints_or_averages():
    only = CONFIG.model_copy(update={"average": 0.6, "checkpoint_steps": 25})
    assert not has_choice(only, 25, None)
    assert has_choice(only, 26, None)
    assert has_choice(only.model_copy(update={"average": None}), 25, None)
    assert has_choice(only, 25, Rungs((10,), {8: 1.0}))


def count_elsewhere(scorer: Scorer) -> list[int]:
    """Grows by one for each text of OTHER that is encoded from now on as a query."""
    asked = {text for _, text in OTHER.queries}
    encode = scorer.encoder.encode
    seen: list[int] = []

    def counting(texts, role="document", **options):
        seen.extend(1 for text in texts if role == "query" and text in asked)
        return encode(texts, role, **options)

    scorer.encoder.encode = counting
    return seen


def test_elsewhere_is_measured_for_one_share_where_no_other_can_win(encoder_folder: Path):
    scorer = start_scorer(encoder_folder, RetentionSamples({"other": OTHER}), BOTH)
    seen = count_elsewhere(scorer)
    assert scorer.measure()["average"] == 0.5  # alike, and nearer to the start
    assert len(seen) == len(OTHER.queries)


def test_a_better_dev_score_with_a_loss_elsewhere_is_left_for_the_other_share(encoder_folder: Path):
    """The average with a start of opposite words is no model: worse on the dev sample, and chosen
    all the same.
    """
    scorer = flip_words(encoder_folder, None, DEV, RetentionSamples({"other": OTHER}))
    dev = {share: scorer._measure_dev(share, None)["score"] for share in BOTH.shares}
    assert dev[1.0] > dev[0.5]
    seen = count_elsewhere(scorer)
    # of the first that is measured
    scorer._lost = lambda scores: 2.0 * (len(seen) == len(OTHER.queries))
    metrics = scorer.measure()
    assert (metrics["average"], metrics["score"]) == (0.5, dev[0.5])
    assert scorer.dev_values[8].mean() == dev[0.5]
    assert len(seen) == 2 * len(OTHER.queries)
