"""Check that models of all kinds give the vectors of stock sentence-transformers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.form import UNBOUNDED
from medembed.encoding.modules import check_modules
from medembed.encoding.reading import ROLES, Role
from medembed.errors import ModelError
from tests.kinds import KINDS, TEXTS, pooled, read, save_kind, with_cnn
from tests.tiny import make_xlm_roberta


def stock_vectors(model: Any, texts: list[str], role: Role, **options: Any) -> np.ndarray:
    encode = model.encode_query if role == "query" else model.encode_document
    return encode(texts, normalize_embeddings=True, **options)


def largest_difference(folder: Path, backend: Any = "torch", **options: Any) -> float:
    stock, encoder = (
        SentenceTransformer(str(folder), device="cpu"),
        Encoder.load(str(folder), EncodingConfig(backend=backend)),
    )
    pairs = [
        (encoder.encode(TEXTS, role), stock_vectors(stock, TEXTS, role, **options))
        for role in ROLES
    ]
    return max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_model_gives_the_vectors_of_stock(
    kind: str, encoder_folder: Path, tmp_path: Path
):
    folder = save_kind(tmp_path / "model", KINDS[kind](encoder_folder))
    assert largest_difference(folder) < 1e-6


@pytest.mark.parametrize(
    ("kind", "backend"),
    [
        ("pooling cls", "openvino"),
        ("residual", "openvino"),
        ("router", "torch"),
        ("pooling mean without the prompt", "torch"),
        ("static", "torch"),
        ("token types", "torch"),
    ],
)
def test_openvino_has_all_modules_of_a_model_and_what_it_cannot_be_told_is_computed_by_torch(
    kind: str, backend: str, encoder_folder: Path, tmp_path: Path
):
    folder = save_kind(tmp_path / "model", KINDS[kind](encoder_folder))
    assert Encoder.load(str(folder), EncodingConfig(backend="openvino")).backend.name == backend
    assert largest_difference(folder, "openvino") < 1e-6


@pytest.mark.parametrize(
    "options",
    [
        {"prompts": {"topic": "topic: "}, "default_prompt_name": "topic"},
        {"prompts": {"query": "query: "}},
        {"prompts": {}, "truncate_dim": 12},
    ],
    ids=["a default prompt", "a query prompt alone", "fewer dimensions"],
)
@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_settings_of_the_model_count_as_in_stock(
    options: dict[str, Any], backend: str, encoder_folder: Path, tmp_path: Path
):
    folder = save_kind(tmp_path / "model", pooled("mean")(encoder_folder), **options)
    assert largest_difference(folder, backend) < 1e-6


def test_roles_share_no_batch_where_they_are_read_differently(encoder_folder: Path, tmp_path: Path):
    folder = save_kind(tmp_path / "model", KINDS["router"](encoder_folder))
    encoder = Encoder.load(str(folder), EncodingConfig())
    query, document = (encoder.tokenize(["heart"], role) for role in ROLES)
    assert query.ids != document.ids  # their prompts
    assert not query.fits(document)
    plain = Encoder.load(str(encoder_folder), EncodingConfig())
    assert plain.tokenize(["heart"], "query").fits(plain.tokenize(["heart"], "document"))
    assert plain.tokenize(["heart"]).fits(plain.reader.given([[5]], "query"))


@pytest.mark.parametrize(
    "kind", ["pooling mean", "pooling mean without the prompt", "left padding without the prompt"]
)
def test_a_prompt_by_name_gives_the_vectors_of_stock(
    kind: str, encoder_folder: Path, tmp_path: Path
):
    prompts = {"query": "query: ", "topic": "skin rash of the left knee: ", "none": ""}
    folder = save_kind(tmp_path / "model", KINDS[kind](encoder_folder), prompts=prompts)
    encoder, stock = (
        Encoder.load(str(folder), EncodingConfig()),
        SentenceTransformer(str(folder), device="cpu"),
    )
    for name in encoder.reader.prompts:
        tokens, _ = encoder.tokenize_and_mark(TEXTS, "query", name)
        expected = stock.encode(TEXTS, prompt_name=name, normalize_embeddings=True)
        assert np.abs(encoder.encode_tokens(tokens) - expected).max() < 1e-6
    assert list(encoder.reader.prompts) == ["document", "none", "query", "topic"]


@pytest.mark.parametrize(
    "kind", ["router", "static queries", "token types", "lengths by role", "chat template"]
)
def test_each_kind_of_model_counts_what_it_would_read_if_it_cut_nothing(
    kind: str, encoder_folder: Path, tmp_path: Path
):
    encoder = Encoder.load(
        str(save_kind(tmp_path / "model", KINDS[kind](encoder_folder))), EncodingConfig()
    )
    for role in ROLES:
        texts = ["heart", "heart heart", "heart " * 300]
        tokens, cut = encoder.tokenize_and_mark(texts, role)
        one, two, many = counts = encoder.reader.count(texts, role)
        assert (two - one, many - one) == (1, 299)
        for length, is_cut, count in zip(tokens.lengths, cut, counts, strict=True):
            assert count > length if is_cut else count == length


def test_token_ids_have_no_prompt_that_would_be_left_out(encoder_folder: Path, tmp_path: Path):
    modules = pooled("mean", include_prompt=False)(encoder_folder)
    folder = save_kind(tmp_path / "model", modules)
    encoder, stock = (
        Encoder.load(str(folder), EncodingConfig()),
        SentenceTransformer(str(folder), device="cpu"),
    )
    ids = stock.tokenizer(["heart pain"])["input_ids"]
    expected = stock.encode(["heart pain"], prompt="", normalize_embeddings=True)
    assert np.abs(encoder.encode_tokens(encoder.reader.given(ids, "query")) - expected).max() < 1e-6


def test_a_model_without_a_maximum_length_cuts_nothing_and_counts_all(
    encoder_folder: Path, tmp_path: Path
):
    for kind in ("no maximum length", "static"):
        encoder = Encoder.load(
            str(save_kind(tmp_path / kind, KINDS[kind](encoder_folder))), EncodingConfig()
        )
        tokens, cut = encoder.tokenize_and_mark(["heart " * 3000, "heart"], "query")
        long, short = tokens.lengths
        assert (encoder.max_length, long - short, cut) == (UNBOUNDED, 2999, [False, False])
        assert encoder.reader.count(["heart " * 3000], "query") == [long]
        assert encoder.reader.vocabulary == len(read(encoder_folder).tokenizer)


def test_a_text_is_cut_where_the_positions_end(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    source = make_xlm_roberta(tmp_path / "xlm")
    folder = save_kind(tmp_path / "model", pooled("mean")(source), prompts={})
    settings = folder / "tokenizer_config.json"
    settings.write_text(
        settings.read_text().replace('"model_max_length": 48', '"model_max_length": 66')
    )
    encoder = Encoder.load(str(folder), EncodingConfig())
    assert (
        "its maximum length is 66, but it has positions for 64 tokens; longer texts are cut there"
        in caplog.text
    )
    whole, cut = " ".join(["pain"] * 62), " ".join(["pain"] * 63)
    tokens, marks = encoder.tokenize_and_mark([whole, cut])
    assert (encoder.max_length, tokens.lengths, marks) == (64, [64, 64], [False, True])
    stock = SentenceTransformer(str(folder), device="cpu")
    stock.max_seq_length = 64
    assert (
        np.abs(
            encoder.encode([whole, cut]) - stock.encode([whole, cut], normalize_embeddings=True)
        ).max()
        < 1e-6
    )


def test_a_document_prompt_under_another_name_is_used_and_the_load_says_that_stock_leaves_it_out(
    encoder_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    prompts = {"query": "query: ", "passage": "passage: "}
    folder = save_kind(tmp_path / "model", pooled("mean")(encoder_folder), prompts=prompts)
    with caplog.at_level("INFO"):
        encoder = Encoder.load(str(folder), EncodingConfig())
    assert (
        "its document prompt is named passage, which encode_document of sentence-transformers "
        "leaves out" in caplog.text
    )
    stock = SentenceTransformer(str(folder), device="cpu")
    named = stock_vectors(stock, TEXTS, "document", prompt_name="passage")
    assert np.abs(encoder.encode(TEXTS) - named).max() < 1e-6
    assert np.abs(named - stock_vectors(stock, TEXTS, "document")).max() > 1e-3


def test_a_module_that_does_not_work_here_is_refused_by_name(encoder_folder: Path, tmp_path: Path):
    folder = save_kind(tmp_path / "model", with_cnn(encoder_folder))
    with pytest.raises(
        ModelError, match=r"model mine: its module CNN does not work here; expected Transformer, "
    ):
        check_modules(folder, "mine")
    routed = save_kind(tmp_path / "routed", KINDS["router"](encoder_folder))
    check_modules(routed, "mine")
    config = routed / "router_config.json"
    config.write_text(
        config.read_text().replace("sentence_transformers.base.modules.dense.Dense", "acme.Dense")
    )
    with pytest.raises(
        ModelError, match=r"its module acme.Dense is code of its own, which MedEmbed does not run"
    ):
        check_modules(routed, "mine")


def test_another_kind_of_model_is_refused_and_not_converted(encoder_folder: Path, tmp_path: Path):
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    modules = [read(encoder_folder), SpladePooling("max")]
    SparseEncoder(modules=modules, device="cpu").save_pretrained(
        str(tmp_path / "sparse"), create_model_card=False
    )
    with pytest.raises(ModelError, match=r"it is a SparseEncoder; expected a SentenceTransformer"):
        Encoder.load(str(tmp_path / "sparse"), EncodingConfig())
