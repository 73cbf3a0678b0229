"""E5 models want prefixes that their folders do not name: on a tiny random XLM-R, which is what
they are.
"""

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.training.model.prompts import set_prompts
from medembed.training.model.trainable import check_trainable
from medembed.training.options import PromptsConfig, read_preset
from tests.tiny import make_xlm_roberta
from tests.training.small import CONFIG, start

PROMPTS = PromptsConfig.model_validate(read_preset("published")["prompts"])


@pytest.fixture(scope="module")
def xlm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_xlm_roberta(tmp_path_factory.mktemp("xlm") / "model")


def test_prompts_of_the_config_reach_training_and_every_later_encoding(
    xlm_folder: Path, tmp_path: Path
):
    assert Encoder.load(str(xlm_folder), EncodingConfig()).prompt("query") == ""
    trainer = start(
        xlm_folder, CONFIG.model_copy(update={"prompts": PROMPTS}), tmp_path, save_at=(6,)
    )
    batch = next(iter(trainer.get_train_dataloader()))
    for column, prefix in (("query", "query"), ("positive", "passage"), ("negative_0", "passage")):
        first = {row[1] for row in batch[f"{column}_input_ids"].tolist()}
        assert first == {trainer.model.tokenizer.convert_tokens_to_ids(f"▁{prefix}")}
    trainer.train()
    folder = str(tmp_path / "checkpoint-6")
    encoder, stock = (
        Encoder.load(folder, EncodingConfig()),
        SentenceTransformer(folder, device="cpu"),
    )
    for role, prefix, encode in (
        ("query", "query: ", stock.encode_query),
        ("document", "passage: ", stock.encode_document),
    ):
        assert encoder.prompt(role) == prefix
        expected = stock.encode([prefix + "heart pain"], normalize_embeddings=True)
        assert np.abs(encoder.encode(["heart pain"], role) - expected).max() < 1e-5
        assert np.abs(encode(["heart pain"], normalize_embeddings=True) - expected).max() < 1e-5
    plain = stock.encode(["heart pain"], prompt="", normalize_embeddings=True)
    assert np.abs(encoder.encode(["heart pain"], "query") - plain).max() > 1e-3


def test_a_documents_prompt_under_another_name_is_kept_under_its_own_too_and_a_named_one_replaces_it(
    xlm_folder: Path,
):
    model = SentenceTransformer(
        str(xlm_folder), device="cpu", prompts={"query": "q ", "passage": "p ", "topic": "t "}
    )
    set_prompts(model, PromptsConfig())
    assert {name: text for name, text in model.prompts.items() if text} == {
        "query": "q ",
        "document": "p ",
        "passage": "p ",
        "topic": "t ",
    }
    set_prompts(model, PromptsConfig(document=""))
    assert Encoder(model, EncodingConfig()).prompt("document") == ""
    assert Encoder(model, EncodingConfig()).prompt("query") == "q "
    assert model.prompts["topic"] == "t "


@pytest.mark.parametrize(
    ("name", "prompts", "words"),
    [
        ("tiny-e5", {}, "name them: training.prompts.query='query: ' training.prompts.document="),
        ("tiny-e5-named", {"query": "query: ", "document": "passage: "}, None),
        ("tiny-e5-shell", {"query": "query:", "document": "passage: "}, "quotes keep the space"),
        ("tiny", {"query": "q "}, None),
    ],
)
def test_a_training_says_in_one_line_which_prompts_its_model_wants(
    xlm_folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    prompts: dict[str, str],
    words: str | None,
):
    folder = tmp_path / name
    folder.symlink_to(xlm_folder)
    check_trainable(str(folder), CONFIG.model_copy(update={"prompts": PromptsConfig(**prompts)}))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == (words is not None)
    assert all(str(words) in line for line in lines)
