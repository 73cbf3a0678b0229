"""A cut vocabulary reads the texts that it was cut for as before, and new ones without [UNK]."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import load_model
from medembed.encoding.model_files import save_card
from medembed.errors import ModelError
from medembed.facts import Vocabulary
from medembed.lineage import CheckpointManifest
from medembed.training.config import TrainingConfig
from medembed.training.model.pieces import needed_pieces
from medembed.training.model.principal_axes import write_start
from medembed.training.model.trainable import check_trainable
from medembed.training.model.vocabulary import plan_vocabulary
from medembed.training.options import PromptsConfig
from medembed.training.train import train
from tests.tiny import SIGNS, SUBJECTS, make_encoder, make_roberta, make_xlm_roberta
from tests.training.mined import prepare_and_mine

TEXTS = [f"{subject} {sign} 12" for subject in SUBJECTS[:4] for sign in SIGNS[:3]]
NEW = [f"{subject}s? {sign}, non" for subject in SUBJECTS for sign in SIGNS]
CORPUS = TrainingConfig(dimensions=(32, 8), select_dimension=8, vocabulary="corpus")


def cut(folder: Path, texts: list[str], output: Path) -> list[int]:
    """Write the model of a folder cut to the pieces of texts; return their numbers."""
    used = {number for ids in load(folder).tokenizer(texts)["input_ids"] for number in ids}
    settings = json.loads((folder / "tokenizer.json").read_text())
    pieces = needed_pieces(settings, used, set("".join(texts)), frequent=0)
    write_start(str(folder), None, pieces, CORPUS, str(output))
    return pieces


def load(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu")


@pytest.mark.parametrize("make", [make_encoder, make_xlm_roberta, make_roberta])
def test_texts_of_the_kept_pieces_are_read_as_before_and_have_the_same_vectors(
    make: Callable[[Path], Path], tmp_path: Path
):
    folder = make(tmp_path / "whole")
    pieces = cut(folder, TEXTS, tmp_path / "cut")
    whole, small = load(folder), load(tmp_path / "cut")
    before = whole.tokenizer(TEXTS)["input_ids"]
    after = small.tokenizer(TEXTS)["input_ids"]
    assert [[pieces[number] for number in ids] for ids in after] == before
    assert np.abs(small.encode(TEXTS) - whole.encode(TEXTS)).max() < 1e-6
    table = small[0].model.get_input_embeddings()
    assert len(small.tokenizer) == table.num_embeddings == len(pieces) < len(whole.tokenizer)
    assert small.tokenizer.pad_token_id == table.padding_idx
    assert small[0].model.config.vocab_size == len(pieces)


@pytest.mark.parametrize("make", [make_encoder, make_xlm_roberta, make_roberta])
def test_new_words_are_split_into_known_pieces(make: Callable[[Path], Path], tmp_path: Path):
    folder = make(tmp_path / "whole")
    cut(folder, TEXTS, tmp_path / "cut")
    small, whole = load(tmp_path / "cut").tokenizer, load(folder).tokenizer
    ids = small(NEW)["input_ids"]
    assert ids
    assert not any(small.unk_token_id in text for text in ids)
    assert sum(map(len, ids)) > sum(map(len, whole(NEW)["input_ids"]))


def test_letters_and_frequent_pieces_stay_if_their_script_is_one_of_the_texts():
    vocab = [("<unk>", 0.0), ("▁le", -2.0), ("к", -3.0), ("é", -3.0), (",", -3.0), ("▁mot", -9.0)]
    settings = {"model": {"type": "Unigram", "vocab": vocab, "unk_id": 0}, "added_tokens": []}
    kept = {vocab[number][0] for number in needed_pieces(settings, set(), "fièvre", frequent=3)}
    assert kept == {"<unk>", "▁le", "é", ",", "▁mot"}, "the last is the least likely one"


def test_a_bpe_piece_keeps_the_pieces_that_it_is_merged_from():
    vocab = {"a": 0, "b": 1, "c": 2, "bc": 3, "abc": 4, "ab": 5}
    model = {"type": "BPE", "vocab": vocab, "merges": ["b c", "a bc", "a b"]}
    settings = {"model": model, "added_tokens": []}
    assert needed_pieces(settings, {4}, "", frequent=0) == [0, 1, 2, 3, 4]


@pytest.fixture(scope="module")
def dataset(pairs_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    source = SourceConfig(path=str(pairs_file))
    return prepare(source, SplitConfig(), str(tmp_path_factory.mktemp("data")))


def test_the_plan_has_what_training_reads_behind_its_prompts_and_says_how_much_is_kept(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = make_xlm_roberta(tmp_path / "m")
    assert plan_vocabulary(dataset, str(folder), TrainingConfig()).pieces is None
    config = CORPUS.model_copy(update={"prompts": PromptsConfig(query="query: ")})
    with caplog.at_level(logging.INFO):
        plan = plan_vocabulary(dataset, str(folder), config)
    facts = plan.facts
    assert plan.pieces is not None
    assert facts is not None
    numbers = load(folder).tokenizer.get_vocab()
    assert numbers["▁query"] in plan.pieces
    assert facts.kept == len(plan.pieces) <= facts.whole == len(numbers)
    assert f"kept {facts.kept:,} of {facts.whole:,} pieces" in caplog.text


@pytest.mark.parametrize(
    ("rate", "level", "words"),
    [(10.0, logging.INFO, "times the pieces"), (0.01, logging.WARNING, "from the whole model")],
)
def test_a_cut_model_keeps_its_pieces_and_warns_of_texts_that_need_others(
    dataset: Dataset,
    encoder_folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    rate: float,
    level: int,
    words: str,
):
    facts = Vocabulary(100, 200, rate)
    write_start(str(encoder_folder), None, None, CORPUS, str(tmp_path / "m"))
    save_card(tmp_path / "m", CheckpointManifest(vocabulary=facts))
    with caplog.at_level(logging.INFO):
        plan = plan_vocabulary(dataset, str(tmp_path / "m"), CORPUS)
    assert plan.pieces is None
    assert plan.facts == facts
    (record,) = [each for each in caplog.records if "100 of 200 pieces" in each.message]
    assert record.levelno == level
    assert words in record.message


@pytest.mark.parametrize("kind", ["WordLevel", None])
def test_a_tokenizer_that_cannot_be_cut_is_refused(tmp_path: Path, kind: str | None):
    folder = make_encoder(tmp_path / "m")
    file = folder / "tokenizer.json"
    if kind is None:
        file.rename(folder / "vocab.txt")
    else:
        file.write_text(json.dumps({"model": {"type": kind}}))
    with pytest.raises(ModelError, match="vocabulary=corpus: found a tokenizer"):
        check_trainable(str(folder), CORPUS)
    check_trainable(str(folder), TrainingConfig())


@pytest.mark.ray
def test_a_training_that_cuts_publishes_a_small_stock_model_whose_heirs_stay_small(
    pairs_file: Path, tmp_path: Path, ray_local: None
):
    folder = make_xlm_roberta(tmp_path / "whole")
    work = prepare_and_mine(pairs_file, str(folder), tmp_path / "work")
    settings = {"batch_size": 8, "cpus_per_worker": 1, "dev_queries": 20, "dev_documents": 40}
    config = CORPUS.model_copy(update={**settings, "average": 0.8, "learning_rate": 5e-3})
    child = train(*work, str(tmp_path / "child"), config)
    facts = child.manifest.vocabulary
    assert facts is not None
    assert facts.kept <= facts.whole == len(load(folder).tokenizer)
    stock = load_model(tmp_path / "child", EncodingConfig(), "cpu")
    assert len(stock.tokenizer) == facts.kept

    heir = train(work.dataset, work.examples, child.uri, str(tmp_path / "heir"), config)
    assert heir.manifest.vocabulary == facts
    assert len(load(tmp_path / "heir").tokenizer) == facts.kept
