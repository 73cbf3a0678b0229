"""Tiny models of the kinds that sentence-transformers knows, each from the same tiny
transformer.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import (
    CNN,
    Dropout,
    LayerNorm,
    Pooling,
    StaticEmbedding,
    WeightedLayerPooling,
    WordWeights,
)

from tests.tiny import WIDTH

PROMPTS = {"query": "query: ", "document": "passage: "}
# What a tokenizer may read in its own way: capitals, lines, nothing, too much, few tokens of many
# characters.
TEXTS = [
    "Heart PAIN",
    "a",
    "swelling of the left knee, grade 3 " * 20,
    "skin rash\nsecond line",
    "",
    "   ",
    "été: douleur à l'oreille",
    "acgt" * 900 + " heart pain",
    " " * 4000 + "liver",
]


def read(folder: Path, **options: Any) -> Transformer:
    return Transformer(str(folder), **({"max_seq_length": 48} | options))


def pooled(mode: Any, **options: Any) -> Callable[[Path], list[Any]]:
    return lambda folder: [read(folder), Pooling(WIDTH, mode, **options)]


def routed(folder: Path) -> list[Any]:
    query = [read(folder), Pooling(WIDTH, "mean"), Dense(WIDTH, 16)]
    document = [read(folder), Pooling(WIDTH, "cls"), Dense(WIDTH, 16)]
    return [Router.for_query_document(query, document)]


def routed_late(folder: Path) -> list[Any]:
    return [
        read(folder),
        Pooling(WIDTH, "mean"),
        Router.for_query_document([Dense(WIDTH, 16)], [Dense(WIDTH, 16)]),
    ]


def static(folder: Path) -> list[Any]:
    return [StaticEmbedding(read(folder).tokenizer, embedding_dim=24)]


def half_static(folder: Path) -> list[Any]:
    query = [StaticEmbedding(read(folder).tokenizer, embedding_dim=WIDTH)]
    return [Router.for_query_document(query, [read(folder), Pooling(WIDTH, "mean")])]


def left(folder: Path) -> list[Any]:
    module = read(folder)
    module.tokenizer.padding_side = "left"
    return [module, Pooling(WIDTH, "mean", include_prompt=False)]


def typed(folder: Path) -> list[Any]:
    """Return a model with token types that are not all 0, as XLNet's tokenizer gives them."""
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    module = read(folder)
    own = module.tokenizer
    inner = own.backend_tokenizer
    inner.post_processor = TemplateProcessing(
        single="[CLS]:1 $A:0 [SEP]:1",
        special_tokens=[("[CLS]", own.cls_token_id), ("[SEP]", own.sep_token_id)],
    )
    module.processor = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        unk_token="[UNK]",
        model_max_length=48,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    return [module, Pooling(WIDTH, "mean")]


def weighted_words(folder: Path) -> list[Any]:
    module = read(folder)
    return [
        module,
        WordWeights(list(module.tokenizer.get_vocab()), {"heart": 3.0}),
        Pooling(WIDTH, "mean"),
    ]


def weighted_layers(folder: Path) -> list[Any]:
    module = read(folder, config_kwargs={"output_hidden_states": True})
    return [
        module,
        WeightedLayerPooling(WIDTH, num_hidden_layers=2, layer_start=1),
        Pooling(WIDTH, "mean"),
    ]


def chat(folder: Path) -> list[Any]:
    """Return a model whose texts go through the tokenizer's chat template."""
    ways = {"method": "forward", "method_output_name": "last_hidden_state"}
    module = read(
        folder,
        modality_config={"message": ways | {"format": "flat"}, "text": ways},
        module_output_name="token_embeddings",
    )
    module.tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }} {% endfor %}"
    )
    return [module, Pooling(WIDTH, "mean")]


def unbounded(folder: Path) -> list[Any]:
    """Return a T5 whose tokenizer states no maximum length."""
    from transformers import T5Config, T5EncoderModel

    raw = folder.with_name("t5-raw")
    if not raw.exists():
        tokenizer = read(folder).tokenizer
        tokenizer.model_max_length = int(1e30)
        tokenizer.save_pretrained(raw)
        shape = T5Config(
            vocab_size=len(tokenizer), d_model=WIDTH, d_kv=8, d_ff=64, num_layers=2, num_heads=4
        )
        T5EncoderModel(shape).save_pretrained(raw)
    return [Transformer(str(raw)), Pooling(WIDTH, "mean")]


KINDS: dict[str, Callable[[Path], list[Any]]] = {
    **{f"pooling {mode}": pooled(mode) for mode in Pooling.POOLING_MODES},
    **{
        f"pooling {mode} without the prompt": pooled(mode, include_prompt=False)
        for mode in Pooling.POOLING_MODES
    },
    "two poolings": pooled(("mean", "max")),
    "router": routed,
    "router behind the transformer": routed_late,
    "static": static,
    "static queries": half_static,
    "left padding without the prompt": left,
    "token types": typed,
    "weighted words": weighted_words,
    "weighted layers": weighted_layers,
    "layer norm and dropout": lambda folder: [
        *pooled("mean")(folder),
        LayerNorm(WIDTH),
        Dropout(0.2),
        Normalize(),
    ],
    "residual": lambda folder: [*pooled("mean")(folder), Dense(WIDTH, 16, use_residual=True)],
    "lower case": lambda folder: [read(folder, do_lower_case=True), Pooling(WIDTH, "mean")],
    "lengths by role": lambda folder: [
        read(folder, query_length=8, document_length=20),
        Pooling(WIDTH, "mean"),
    ],
    "chat template": chat,
    "no maximum length": unbounded,
}


def with_cnn(folder: Path) -> list[Any]:
    return [read(folder), CNN(WIDTH, 8), Pooling(24, "mean")]


def save_kind(folder: Path, modules: list[Any], **options: Any) -> Path:
    """Save a model of these modules, random where they are not the transformer's."""
    torch.manual_seed(1)
    model = SentenceTransformer(modules=modules, device="cpu", **({"prompts": PROMPTS} | options))
    model.save_pretrained(str(folder), create_model_card=False)
    return folder
