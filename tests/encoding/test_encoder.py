import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medembed.encoding import encoder as encoder_module
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, load_model
from medembed.errors import ModelError

CONFIG = EncodingConfig(max_tokens_per_batch=128)
TEXTS = [
    "heart pain",
    "a",
    "swelling of the left knee, grade 3 " * 20,
    "skin rash",
    "été: douleur à l'oreille",
]


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_steadily_no_bit_depends_on_the_other_texts(encoder_folder: Path, backend: str):
    encoder = Encoder.load(str(encoder_folder), EncodingConfig(backend=backend))
    texts = [*TEXTS, *(f"{'pain ' * (n % 9)}heart {n}" for n in range(80))]
    whole = encoder.encode(texts, "query", steadily=True)
    assert np.abs(whole - encoder.encode(texts, "query")).max() < 1e-6
    for chosen in (range(1), range(4, 70, 3), reversed(range(85))):
        places = list(chosen)
        assert np.array_equal(
            encoder.encode([texts[n] for n in places], "query", steadily=True), whole[places]
        )


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_a_loaded_model_does_not_change_with_its_files(
    encoder_folder: Path, tmp_path: Path, backend: str
):
    weights = shutil.copytree(encoder_folder, tmp_path / "m") / "model.safetensors"
    encoder = Encoder.load(str(weights.parent), EncodingConfig(backend=backend))
    before = encoder.encode(TEXTS)
    size_bytes = weights.stat().st_size
    with weights.open("r+b") as file:
        file.seek(size_bytes // 2)
        file.write(b"\x3f" * (size_bytes // 4))
    assert np.array_equal(encoder.encode(TEXTS), before)
    os.truncate(weights, 0)
    assert np.array_equal(encoder.encode(TEXTS), before)


def test_files_that_are_written_while_a_model_is_loaded_are_refused(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    weights = shutil.copytree(encoder_folder, tmp_path / "m") / "model.safetensors"

    def load_after_another_wrote(folder: Path, *options: Any) -> Any:
        mark = weights.stat()
        weights.write_bytes(weights.read_bytes()[:-4] + bytes(4))
        os.utime(weights, ns=(mark.st_atime_ns, mark.st_mtime_ns))  # as one would who hides it
        return load_model(folder, *options)

    monkeypatch.setattr(encoder_module, "load_model", load_after_another_wrote)
    with pytest.raises(ModelError, match="its files changed while they were loaded"):
        Encoder.load(str(weights.parent), CONFIG)


def test_no_texts_give_no_rows_of_the_full_width(encoder_folder: Path):
    assert Encoder.load(str(encoder_folder), CONFIG).encode([]).shape == (0, 32)


def test_tokens_are_counted_after_truncation_at_the_models_own_length(encoder_folder: Path):
    _, tokens = Encoder.load(str(encoder_folder), CONFIG).encode_and_count(
        ["heart", "heart " * 100]
    )
    assert tokens == [3, 48]


def test_weights_saved_in_half_precision_are_computed_in_full(encoder_folder: Path, tmp_path: Path):
    import torch
    from sentence_transformers import SentenceTransformer

    half = SentenceTransformer(
        str(encoder_folder), device="cpu", model_kwargs={"dtype": torch.bfloat16}
    )
    half.save_pretrained(str(tmp_path / "half"), create_model_card=False)
    model = Encoder.load(str(tmp_path / "half"), CONFIG).model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_windows_of_texts_change_no_vector_and_no_count(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    encoder = Encoder.load(str(encoder_folder), CONFIG)
    whole, lengths = encoder.encode_and_count(TEXTS)
    monkeypatch.setattr("medembed.encoding.encoder._TEXTS_PER_WINDOW", 2)
    windowed, again = encoder.encode_and_count(TEXTS)
    assert lengths == again
    assert np.abs(whole - windowed).max() < 1e-6


def test_a_model_whose_vectors_are_no_numbers_is_a_one_line_error(encoder_folder: Path):
    encoder = Encoder.load(str(encoder_folder), CONFIG)
    next(encoder.model.parameters()).data.fill_(float("nan"))
    with pytest.raises(ModelError, match="gives 5 of 5 texts vectors that are not numbers"):
        encoder.encode(TEXTS)


def test_a_text_is_marked_as_cut_only_if_a_token_is_missing(encoder_folder: Path):
    encoder = Encoder.load(str(encoder_folder), CONFIG)
    # Of so many spaces, or one word without end, all is read: they are few tokens.
    texts = [
        "heart",
        "heart " * 46,
        "heart " * 47,
        " " * 10_000 + "liver",
        "acgt" * 9999 + " skin",
        "heart " * 1000,
    ]
    tokens, cut = encoder.tokenize_and_mark(texts)
    assert tokens.lengths == [3, 48, 48, 3, 4, 48]
    assert cut == [False, False, True, False, False, True]


def test_token_ids_are_encoded_as_their_texts_are(encoder_folder: Path):
    encoder = Encoder.load(str(encoder_folder), CONFIG)
    assert (
        np.abs(encoder.encode_tokens(encoder.tokenize(TEXTS)) - encoder.encode(TEXTS)).max() < 1e-6
    )
    assert encoder.encode_tokens(encoder.tokenize(TEXTS).take(0, 0)).shape == (0, 32)


def test_few_texts_are_dealt_out_to_all_that_computes_at_once(encoder_folder: Path):
    encoder = Encoder.load(
        str(encoder_folder), EncodingConfig(backend="openvino", cpus_per_worker=2)
    )
    assert encoder.tokens_of_batch([6, 5, 4]) == 9  # half of three times 6
    assert encoder.tokens_of_batch([200] * 20) == encoder.config.batch_tokens
    assert encoder.tokens_of_batch([4] * 6) == 12
    alone = Encoder.load(str(encoder_folder), EncodingConfig(backend="torch", cpus_per_worker=2))
    assert alone.tokens_of_batch([6, 5, 4]) == 18, "torch's threads share each batch"


def test_tokens_are_counted_as_if_nothing_were_cut_and_no_setting_of_the_tokenizer_changes(
    encoder_folder: Path,
):
    encoder = Encoder.load(str(encoder_folder), EncodingConfig())
    texts = [
        "heart",
        "heart " * 46,
        "heart " * 47,
        "skin rash 12 " * 200,
        "",
        "heart [SEP] pain " * 30,
    ]
    whole = [
        len(encoder.model.tokenizer(text, truncation=False, verbose=False)["input_ids"])
        for text in texts
    ]
    assert encoder.tokenize(["heart " * 99]).lengths == [48]
    before = encoder.model.tokenizer.backend_tokenizer.truncation
    assert encoder.reader.count(texts, "document") == whole
    assert before["max_length"] == 48
    assert encoder.model.tokenizer.backend_tokenizer.truncation == before
