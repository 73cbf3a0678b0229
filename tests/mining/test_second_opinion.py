"""Mine with every choice that is not a default, against stock models."""

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import CrossEncoder

from medembed.encoding.encoder import Encoder
from medembed.matryoshka import truncate
from medembed.mining.config import MiningConfig
from medembed.mining.examples import Examples
from medembed.mining.mine import mine
from tests.cross import make_cross_encoder
from tests.mining.conftest import ENCODING, Minable

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local", "no_actors")]


def mine_some(minable: Minable, second: Path, output: Path) -> Examples:
    """Mine 8 pairs at fewer dimensions, with a window as large as the corpus, in rows."""
    config = MiningConfig(
        negatives=3,
        window=minable.table.rows - 1,
        margin=0,
        second_opinion=str(second),
        format="rows",
        choice="sample",
        max_pairs=8,
        dimensions=8,
    )
    examples = mine(*minable, str(output), config, ENCODING)
    counted = examples.read_counts()
    counts = counted["counts"]
    assert counts["pairs"] == 8
    assert counts["negatives"] == examples.manifest.example_count == len(examples.read())
    fates = sum(counted["dropped"].values()) + counts["kept"] + counts["judged"]
    assert counts["documents looked at"] == fates == 8 * minable.table.rows
    return examples


def test_an_encoder_gives_its_cosines_with_its_own_prompts(
    minable: Minable,
    prompted_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("medembed.mining.second_opinion._TEXTS_AT_ONCE", 70)
    assert minable.table.rows > 70
    rows = mine_some(minable, prompted_folder, tmp_path / "out").read()
    assert rows
    assert all(row["negative_second_score"] <= row["positive_second_score"] for row in rows)
    for column, model, dimensions in (
        ("second_score", str(prompted_folder), 32),
        ("score", minable.model, 8),
    ):
        encoder = Encoder.load(model, ENCODING)
        left = truncate(encoder.encode([row["query"] for row in rows], "query"), dimensions)
        for side in ("positive", "negative"):
            right = truncate(encoder.encode([row[side] for row in rows]), dimensions)
            scores = [row[f"{side}_{column}"] for row in rows]
            np.testing.assert_allclose(scores, (left * right).sum(axis=1), atol=1e-5)


def test_a_cross_encoder_gives_its_own_scores(
    minable: Minable, encoder_folder: Path, tmp_path: Path
):
    second = make_cross_encoder(tmp_path / "cross", encoder_folder)
    rows = mine_some(minable, second, tmp_path / "out").read()
    assert rows
    assert all(row["negative_second_score"] <= row["positive_second_score"] for row in rows)
    model = CrossEncoder(str(second), device="cpu")
    for side in ("positive", "negative"):
        scores = model.predict([(row["query"], row[side]) for row in rows], show_progress_bar=False)
        np.testing.assert_allclose([row[f"{side}_second_score"] for row in rows], scores, atol=1e-5)
