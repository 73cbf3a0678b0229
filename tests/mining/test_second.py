from pathlib import Path

import numpy as np
import pytest

from medembed.encoding.config import EncodingConfig
from medembed.encoding.cross_encoder import CrossEncoder
from medembed.errors import ModelError
from medembed.mining.second_opinion import ScorePairs
from tests.cross import make_cross_encoder

QUERIES = ["my heart pain", "kidney", "the skin rash and burning", "ear"]
TEXTS = ["Pain in the heart.", "Lung bleeding.", "Itching skin.", "Ear pain, itching ear."]


def test_the_pairs_of_an_item_get_the_cross_encoders_scores(encoder_folder: Path, tmp_path: Path):
    cross = make_cross_encoder(tmp_path / "cross", encoder_folder)
    result = ScorePairs(str(cross), EncodingConfig())(
        {"number": 7, "queries": QUERIES, "texts": TEXTS}
    )
    expected = CrossEncoder.load(str(cross), EncodingConfig()).score(
        list(zip(QUERIES, TEXTS, strict=True))
    )
    assert result["number"] == 7
    assert result["scores"].dtype == np.float64
    assert result["scores"].tolist() == expected.tolist()


def test_a_folder_that_does_not_load_is_refused_in_one_line(encoder_folder: Path, tmp_path: Path):
    cross = make_cross_encoder(tmp_path / "cross", encoder_folder)
    (cross / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="model.safetensors: cut off") as refused:
        ScorePairs(str(cross), EncodingConfig())
    assert "\n" not in str(refused.value)
