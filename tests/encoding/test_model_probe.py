"""Check that damage which only loading shows is named, before a document is blamed for it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling, StaticEmbedding
from tokenizers import Tokenizer
from torch import Tensor

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import load_model
from medembed.encoding.model_files import fetch_model
from medembed.errors import ModelError

Tensors = dict[str, Tensor]
WORDS = "embeddings.word_embeddings.weight"


def copy(
    folder: Path, to: Path, change: Callable[[Tensors], Tensors], weights: str = "model.safetensors"
) -> Path:
    """Copy the model with other tensors."""
    shutil.copytree(folder, to)
    save_file(change(load_file(to / weights)), to / weights, metadata={"format": "pt"})
    return to


def refuse(folder: Path, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load_model(folder, EncodingConfig(), "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: {name: t[name] for name in t if "layer.1." not in name},
            r"16 tensors \(encoder.layer.1.* random",
        ),
        (
            lambda t: (
                t
                | {
                    name.replace("layer.1.", "layer.2."): t[name].clone()
                    for name in t
                    if "layer.1." in name
                }
            ),
            r"16 tensors \(encoder.layer.2.* not in its architecture",
        ),
        (
            lambda t: {"x": torch.zeros(1)},
            r"37 tensors .* in its architecture but not in its weights",
        ),
        (
            lambda t: t | {"pooler.dense.weight": torch.zeros(32, 4)},
            r"config.json says: pooler.dense.weight \(32, 4\)",
        ),
        (
            lambda t: t | {WORDS: t[WORDS].index_fill(0, torch.tensor(5), torch.nan)},
            r"damaged: NaN or .* in 1 tensor",
        ),
        (lambda t: t | {WORDS: torch.full_like(t[WORDS], torch.inf)}, r"damaged: NaN or infinite"),
        (
            lambda t: {name: torch.zeros_like(t[name]) for name in t},
            r"vectors of zeros; its weights are damaged",
        ),
        (
            lambda t: t | {"encoder.layer.1.output.LayerNorm.weight": torch.zeros(32)},
            r"the same vector; its weights are damaged|vectors of zeros",
        ),
    ],
)
def test_tensors_that_are_missing_unknown_misshapen_or_no_numbers_are_refused_by_name(
    encoder_folder: Path, tmp_path: Path, change: Callable[[Tensors], Tensors], message: str
):
    refuse(copy(encoder_folder, tmp_path / "m", change), message)


def test_heads_and_a_pooler_that_the_vectors_do_not_depend_on_may_differ(
    encoder_folder: Path, tmp_path: Path
):
    def as_masked_model(tensors: Tensors) -> Tensors:
        kept = {f"bert.{name}": tensors[name] for name in tensors if not name.startswith("pooler.")}
        positions = {"bert.embeddings.position_ids": torch.arange(64)[None]}
        return kept | positions | {"cls.predictions.bias": torch.zeros(9)}

    model = load_model(
        copy(encoder_folder, tmp_path / "m", as_masked_model), EncodingConfig(), "cpu"
    )
    stock = load_model(encoder_folder, EncodingConfig(), "cpu")
    assert (model.encode("heart pain") == stock.encode("heart pain")).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: {"linear.weight": t["linear.weight"]},
            r'Missing key\(s\) in state_dict: "linear.bias"',
        ),
        (lambda t: t | {"x": torch.zeros(1)}, r'Unexpected key\(s\) in state_dict: "x"'),
        (lambda t: t | {"linear.weight": torch.zeros(16, 48)}, r"size mismatch for linear.weight"),
        (
            lambda t: t | {"linear.bias": torch.full((16,), torch.nan)},
            r"damaged: NaN .* \(3.linear.bias\)",
        ),
    ],
)
def test_tensors_of_a_dense_module_are_checked_too(
    encoder_folder: Path, tmp_path: Path, change: Callable[[Tensors], Tensors], message: str
):
    model = SentenceTransformer(str(encoder_folder), device="cpu")
    model.append(Dense(32, 16))
    model.save_pretrained(str(tmp_path / "dense"), create_model_card=False)
    refuse(copy(tmp_path / "dense", tmp_path / "m", change, "3_Dense/model.safetensors"), message)


def test_more_tokens_than_the_matrix_has_rows_are_refused(encoder_folder: Path, tmp_path: Path):
    folder = copy(encoder_folder, tmp_path / "m", lambda t: t | {WORDS: t[WORDS][:90].clone()})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 90}))
    refuse(folder, "tokenizer gives numbers up to 114, but its embedding matrix has 90 rows")


def test_a_tokenizer_that_knows_no_word_is_refused(encoder_folder: Path, tmp_path: Path):
    folder = shutil.copytree(encoder_folder, tmp_path / "m")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    refuse(folder, "its tokenizer knows no word")


def test_settings_that_promise_another_width_are_refused(encoder_folder: Path, tmp_path: Path):
    folder = shutil.copytree(encoder_folder, tmp_path / "m")
    settings = folder / "1_Pooling/config.json"
    settings.write_text(settings.read_text().replace("32", "48"))
    refuse(folder, "promise 48 dimensions, its vectors have 32")


def test_a_model_of_an_unknown_kind_is_refused_with_the_type_of_the_error(
    encoder_folder: Path, tmp_path: Path
):
    folder = shutil.copytree(encoder_folder, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "nosuch"}))
    refuse(
        folder,
        "cannot load it: ValueError: The checkpoint you are trying to load has model type `nosuch`",
    )


def test_both_ways_of_a_router_are_checked(
    encoder_folder: Path, prompted_folder: Path, tmp_path: Path
):
    ways = [
        [Transformer(str(folder)), Pooling(32, "mean")]
        for folder in (encoder_folder, prompted_folder)
    ]
    model = SentenceTransformer(modules=[Router.for_query_document(*ways)], device="cpu")
    model.save_pretrained(str(tmp_path / "router"), create_model_card=False)
    assert (
        load_model(
            fetch_model(str(tmp_path / "router")), EncodingConfig(), "cpu"
        ).get_embedding_dimension()
        == 32
    )
    weights = "query_0_Transformer/model.safetensors"
    refuse(
        copy(
            tmp_path / "router",
            tmp_path / "m",
            lambda t: t | {WORDS: t[WORDS] * torch.nan},
            weights,
        ),
        "damaged: NaN",
    )
    half = tmp_path / "half"
    copy(
        tmp_path / "router",
        half,
        lambda t: {name: t[name] for name in t if "layer.1." not in name},
        weights,
    )
    refuse(half, "16 tensors .* in its architecture but not in its weights file")


def test_a_table_of_static_vectors_must_have_a_row_for_each_token(
    encoder_folder: Path, tmp_path: Path
):
    tokenizer = Tokenizer.from_file(str(encoder_folder / "tokenizer.json"))
    model = SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_dim=16)], device="cpu"
    )
    model.save_pretrained(str(tmp_path / "static"), create_model_card=False)
    assert (
        load_model(
            fetch_model(str(tmp_path / "static")), EncodingConfig(), "cpu"
        ).get_embedding_dimension()
        == 16
    )
    short = copy(
        tmp_path / "static", tmp_path / "m", lambda t: {name: t[name][:90].clone() for name in t}
    )
    refuse(short, "tokenizer gives numbers up to 114, but its embedding matrix has 90 rows")
