"""Long texts joined from documents: what they are made of, and the vectors that the start gives
them.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.training.losses import hold as module
from medembed.training.losses.hold import Hold, distance_by_dimension

DOCUMENTS = [f"the skin of patient {number} itches" for number in range(10, 74)]
CPU = torch.device("cpu")


@pytest.fixture
def model(encoder_folder: Path) -> Any:
    return SentenceTransformer(str(encoder_folder), device="cpu")


def make(model: Any, seed: int = 0, max_length: int | None = None) -> Hold:
    encoder = Encoder(model, EncodingConfig())
    return Hold(encoder, DOCUMENTS, 2.0, max_length=max_length, seed=seed)


def read(hold: Hold) -> dict[str, Any]:
    return hold.read(hold.join(64, step=1), CPU)


def test_every_eighth_row_and_one_at_least_has_a_text_of_whole_documents_longer_than_one(
    model: Any,
):
    assert len(make(model).join(2, step=1)) == 1
    texts = make(model).join(24, step=1)
    assert len(texts) == 3
    for text in texts:
        documents = text.replace("itches ", "itches|").split("|")
        assert 4 <= len(documents) <= 8
        assert set(documents) <= set(DOCUMENTS)


def test_seed_and_step_decide_what_is_joined(model: Any):
    texts = make(model).join(64, step=1)
    assert make(model).join(64, step=1) == texts
    assert make(model).join(64, step=2) != texts
    assert make(model, seed=1).join(64, step=1) != texts


def test_workers_share_the_texts_of_the_joined_batch(model: Any, monkeypatch: pytest.MonkeyPatch):
    whole = make(model).join(64, step=1)
    shares = []
    for rank in range(4):
        monkeypatch.setattr(module, "world", lambda rank=rank: (rank, 4))
        shares += make(model).join(16, step=1)
    assert shares == whole


def test_texts_are_cut_at_the_limit_of_the_model_behind_the_prompt_of_documents(model: Any):
    free = read(make(model))["attention_mask"].sum(1)
    model.max_seq_length = 20
    model.prompts = {"document": "eye: "}
    features = read(make(model))
    assert features["attention_mask"].sum(1).max() == 20 < free.min()
    tokens = features["input_ids"][0]
    assert model.tokenizer.decode(tokens, skip_special_tokens=True).startswith("eye")


def test_a_joined_text_weighs_as_many_documents_as_it_is_as_long_as(model: Any):
    a_document = len(model.tokenizer(DOCUMENTS[0])["input_ids"])
    joined = read(make(model))["attention_mask"].sum(1).double().mean().item()
    assert make(model).weight == pytest.approx(2.0 * joined / a_document, rel=0.05)
    # a training that reads half as much of each
    half = make(model, max_length=a_document // 2)
    assert half.weight == pytest.approx(2.0 * joined / (a_document // 2), rel=0.05)
    # a model that reads no more than the training does
    model.max_seq_length = a_document
    assert make(model).weight == pytest.approx(2.0)


def test_the_start_embeds_as_the_model_did_however_it_is_trained(model: Any):
    hold = make(model)
    texts = hold.join(320, step=1)  # more than it embeds together
    expected = model.encode(texts, convert_to_tensor=True)
    with torch.no_grad():
        for parameter in model.train().parameters():
            parameter.mul_(1.5)
    vectors = hold.embed(texts, CPU)
    assert torch.allclose(vectors, expected, atol=1e-6)
    assert not vectors.requires_grad


def test_the_distance_is_0_in_place_1_at_a_right_angle_and_2_opposite_whatever_the_length():
    start = torch.tensor([[3.0, 0.0, 1.0, 0.0]])
    now = torch.tensor([[0.0, 5.0, 9.0, 0.0]])
    distances = distance_by_dimension(now, start, [4, 2])
    assert distances[1] == pytest.approx(1.0)
    assert distances[0] == pytest.approx(1 - 9 / (10**0.5 * 106**0.5))
    assert distance_by_dimension(start * 7, start, [2, 4]).tolist() == pytest.approx(
        [0.0, 0.0], abs=1e-6
    )
    assert distance_by_dimension(-start, start, [2, 4]).tolist() == pytest.approx([2.0, 2.0])
