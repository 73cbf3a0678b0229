"""Which documents of a corpus are inspected, how alike they are, how much of them is read."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from medembed.encoding.model_files import read_tokenizer
from medembed.evaluation import inspection
from medembed.evaluation.inspection import Truncation, inspect_corpus, measure_truncation
from medembed.matryoshka import truncate
from tests.tables import Vectors, write_corpus, write_table


def write_model(folder: Path, *, special: bool = False) -> Path:
    """What stands in a model's folder, with a tokenizer to which a word is a token, and no weights
    to speak of.
    """
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if special:
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer.enable_truncation(3)  # as saved models often have it
    tokenizer.enable_padding(length=16)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text("{}")
    save_file({"weight": np.zeros(1, np.float32)}, folder / "model.safetensors")
    return folder


def unit(rows: object) -> Vectors:
    return truncate(np.asarray(rows, np.float32), np.shape(rows)[1])


def test_mean_and_spread_are_over_pairs_of_different_documents(tmp_path: Path):
    dataset = write_corpus(tmp_path / "data", [{"document_id": name} for name in "abc"], 2)
    table = write_table(tmp_path / "t.lance", dataset, unit([[1, 0], [1, 0], [0, 1]]))
    inspected = inspect_corpus(dataset, table, str(write_model(tmp_path / "model")))
    assert inspected.ids == ("a", "b", "c")
    assert inspected.similarities.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert (inspected.mean_cosine, inspected.spread) == pytest.approx((1 / 3, np.sqrt(2) / 3))
    assert not inspected.is_alike
    assert inspected.truncation is not None
    assert (inspected.truncation.texts, inspected.truncation.max_length) == (3, 48)


def test_documents_in_a_narrow_cone_is_alike(tmp_path: Path):
    vectors = unit(np.eye(4) + 1.2)
    dataset = write_corpus(tmp_path / "data", [{"document_id": name} for name in "abcd"], 4)
    table = write_table(tmp_path / "t.lance", dataset, vectors)
    inspected = inspect_corpus(dataset, table, str(write_model(tmp_path / "model")))
    assert inspected.mean_cosine == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-6)
    assert inspected.spread == pytest.approx(0, abs=1e-6)
    assert inspected.is_alike


def test_files_rows_and_what_is_shown_are_evenly_spaced_with_their_own_texts_and_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, value in (("_FILES", 3), ("_SAMPLE", 6), ("_SHOWN", 4)):
        monkeypatch.setattr(inspection, name, value)
    # files of 5, 5, 5, 5 and 3 rows
    rows = [{"document_id": f"d{n:02}", "text": "word " * n} for n in range(23)]
    vectors = unit(np.random.default_rng(0).normal(size=(23, 8)))
    dataset = write_corpus(tmp_path / "data", rows, 5)
    table = write_table(tmp_path / "t.lance", dataset, vectors, max_length=12)
    inspected = inspect_corpus(dataset, table, str(write_model(tmp_path / "model")))
    sampled = [0, 4, 10, 14, 20, 22]
    cosines = vectors[sampled] @ vectors[sampled].T
    assert inspected.ids == ("d00", "d04", "d14", "d22")
    assert np.allclose(
        inspected.similarities, cosines[np.ix_([0, 1, 3, 5], [0, 1, 3, 5])], atol=1e-6
    )
    pairs = [cosines[i, j] for i in range(6) for j in range(i)]
    assert (inspected.mean_cosine, inspected.spread) == pytest.approx(
        (np.mean(pairs), np.std(pairs)), abs=1e-6
    )
    assert inspected.truncation == Truncation(6, 12, 3 / 6, (2 + 8 + 10) / sum(sampled))
    assert inspect_corpus(dataset, table, str(tmp_path / "model")).ids == inspected.ids


def test_a_corpus_of_one_document_has_no_pair(tmp_path: Path):
    dataset = write_corpus(tmp_path / "data", [{"document_id": "a"}], 1)
    table = write_table(tmp_path / "t.lance", dataset, unit([[0, 1]]))
    inspected = inspect_corpus(dataset, table, str(write_model(tmp_path / "model")))
    assert (
        inspected.ids,
        inspected.similarities.tolist(),
        inspected.mean_cosine,
        inspected.spread,
    ) == (
        ("a",),
        [[1]],
        0,
        0,
    )


TEXTS = ["one two", "", "1 2 3 4 5", "1 2 3 4 5 6 7 8"]


@pytest.mark.parametrize(
    ("special", "prompt", "max_length", "cut", "lost"),
    [
        (False, "", 5, 1 / 4, 3 / 15),
        (False, "", 8, 0, 0),
        (False, "", 1, 3 / 4, (1 + 4 + 7) / 15),
        (False, "passage : ", 5, 2 / 4, (2 + 5) / 23),
        (True, "", 5, 2 / 4, (2 + 5) / 23),  # [CLS] and [SEP] are read too
    ],
)
def test_tokens_past_the_maximum_length_are_counted_with_prompt_and_special_tokens(
    tmp_path: Path, special: bool, prompt: str, max_length: int, cut: float, lost: float
):
    tokenizer = read_tokenizer(str(write_model(tmp_path / "model", special=special)))
    inspected = measure_truncation(TEXTS, tokenizer, prompt, max_length)
    assert inspected is not None
    assert (inspected.texts, inspected.max_length) == (4, max_length)
    assert (inspected.cut, inspected.lost) == pytest.approx((cut, lost))


def test_without_a_tokenizer_file_nothing_is_said_about_truncation():
    assert measure_truncation(TEXTS, None, "", 5) is None
