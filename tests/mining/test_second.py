import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder

from medembed.encoding.config import EncodingConfig
from medembed.errors import ModelError
from medembed.mining.second import ScorePairs, is_cross_encoder
from tests.mining.cross import make_cross_encoder

QUERIES = ["my heart pain", "kidney", "the skin rash and burning", "ear"]
TEXTS = ["Pain in the heart.", "Lung bleeding.", "Itching skin.", "Ear pain, itching ear."]


@pytest.fixture(scope="module")
def cross(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cross_encoder(tmp_path_factory.mktemp("second") / "cross", encoder_folder)


def test_pairs_score_as_the_stock_cross_encoder_scores_them(cross: Path):
    found = ScorePairs(str(cross), EncodingConfig())({"number": 7, "queries": QUERIES, "texts": TEXTS})
    inputs = CrossEncoder(str(cross), device="cpu").tokenizer(QUERIES, TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = CrossEncoder(str(cross), device="cpu").model(**inputs).logits[:, 0]
    assert found["number"] == 7
    assert found["scores"] == pytest.approx(torch.sigmoid(logits).numpy(), abs=1e-5)
    assert found["scores"].max() - found["scores"].min() > 5e-4, "random models score pairs much alike"


def test_a_cross_encoder_is_told_by_its_settings_however_it_was_saved(
    cross: Path, encoder_folder: Path, tmp_path: Path
):
    CrossEncoder(str(cross), device="cpu").save_pretrained(str(tmp_path / "saved"))
    assert is_cross_encoder(cross)
    assert is_cross_encoder(tmp_path / "saved")
    assert not is_cross_encoder(encoder_folder)


def test_a_model_with_more_than_one_score_to_a_pair_is_refused(encoder_folder: Path, tmp_path: Path):
    three = make_cross_encoder(tmp_path / "three", encoder_folder, labels=3)
    with pytest.raises(ModelError, match=r"expected a finite score for each pair, found shape \[4, 3\]"):
        ScorePairs(str(three), EncodingConfig())({"number": 0, "queries": QUERIES, "texts": TEXTS})


def test_a_cross_encoder_without_its_head_is_refused_as_its_scores_would_be_random(cross: Path, tmp_path: Path):
    folder = shutil.copytree(cross, tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    kept = {name: values for name, values in weights.items() if not name.startswith("classifier")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"2 tensors \(classifier.bias, classifier.weight\) in its architecture but not"
    ):
        ScorePairs(str(folder), EncodingConfig())


def test_a_folder_that_does_not_load_is_refused_in_one_line(cross: Path, tmp_path: Path):
    for file in cross.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes() if file.suffix != ".safetensors" else b"damaged")
    with pytest.raises(ModelError, match="model.safetensors: cut off") as refused:
        ScorePairs(str(tmp_path), EncodingConfig())
    assert "\n" not in str(refused.value)
