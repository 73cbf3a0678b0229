"""A student of the teacher's own layers is a stock model with fewer of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from medembed.distillation.config import TeacherLayers
from medembed.distillation.layers import choose_layers, write_layers
from medembed.errors import ModelError
from tests.kinds import KINDS, save_kind
from tests.tiny import WIDTH

KINDS_OF_TRANSFORMER: dict[str, Any] = {
    "BERT": (BertModel, BertConfig),
    "XLM-R": (XLMRobertaModel, XLMRobertaConfig),
    "DistilBERT": (DistilBertModel, DistilBertConfig),
    "MPNet": (MPNetModel, MPNetConfig),
    "ModernBERT": (ModernBertModel, ModernBertConfig),
}


@pytest.mark.parametrize(
    ("count", "of", "chosen", "expected"),
    [
        (1, 6, "ends", (0,)),
        (2, 6, "ends", (0, 5)),
        (6, 12, "ends", (0, 1, 2, 3, 10, 11)),
        (3, 6, "first", (0, 1, 2)),
        (3, 6, "even", (0, 3, 5)),
        (6, 12, "even", (0, 2, 4, 7, 9, 11)),
        (2, 24, "even", (0, 23)),
        (1, 6, "even", (0,)),
    ],
)
def test_layers_are_those_of_both_ends_the_first_ones_or_in_even_steps(
    count: int, of: int, chosen: Any, expected: tuple[int, ...]
):
    assert choose_layers(count, of, chosen) == expected


def make_teacher(kind: str, tiny: Path, folder: Path) -> SentenceTransformer:
    """Save a random teacher of four layers with the tiny encoder's tokenizer."""
    model_class, config_class = KINDS_OF_TRANSFORMER[kind]
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 4, "num_attention_heads": 2}
    own = {"hidden_dim": 64} if kind == "DistilBERT" else {"intermediate_size": 64}
    torch.manual_seed(0)
    config = config_class(
        vocab_size=200, max_position_embeddings=64, pad_token_id=0, **sizes, **own
    )
    raw = folder.with_name("raw")
    model_class(config).save_pretrained(raw)
    AutoTokenizer.from_pretrained(tiny).save_pretrained(raw)
    modules = [Transformer(str(raw), max_seq_length=48), Pooling(WIDTH, "mean"), Normalize()]
    teacher = SentenceTransformer(modules=modules, device="cpu")
    teacher.save_pretrained(str(folder), create_model_card=False)
    return teacher


def layers_of(model: SentenceTransformer) -> list[dict[str, torch.Tensor]]:
    lists = [each for each in model[0].modules() if isinstance(each, torch.nn.ModuleList)]
    return [layer.state_dict() for layer in max(lists, key=len)]


@pytest.mark.parametrize("kind", KINDS_OF_TRANSFORMER)
def test_a_student_of_layers_is_a_stock_model_with_the_teachers_weights(
    kind: str, encoder_folder: Path, tmp_path: Path
):
    teacher = make_teacher(kind, encoder_folder, tmp_path / "teacher")
    place = f"{tmp_path}/{{key}}"
    student = write_layers(str(tmp_path / "teacher"), TeacherLayers(3), "even", place)
    loaded = SentenceTransformer(student, device="cpu")
    assert loaded.encode(["heart pain"]).shape == (1, WIDTH)
    config = loaded[0].model.config
    assert config.num_hidden_layers == 3
    before = layers_of(teacher)
    for own, number in zip(layers_of(loaded), (0, 2, 3), strict=True):
        for name, tensor in own.items():
            assert torch.equal(tensor, before[number][name])
    if kind == "ModernBERT":
        types = [teacher[0].model.config.layer_types[number] for number in (0, 2, 3)]
        assert config.layer_types == types
    assert write_layers(str(tmp_path / "teacher"), TeacherLayers(3), "even", place) == student


@pytest.mark.parametrize(
    ("kind", "student", "fault"),
    [
        (None, "layers:2", "found layers:2, but teacher .* has 2 layers; choose from 1 to 1"),
        ("static", "layers:1", "has no list of transformer layers"),
        ("router", "layers:1", "has no list of transformer layers"),
    ],
)
def test_layers_that_a_teacher_has_not_are_refused_and_nothing_is_made(
    kind: str | None, student: str, fault: str, encoder_folder: Path, tmp_path: Path
):
    teacher = encoder_folder
    if kind is not None:
        teacher = save_kind(tmp_path / "teacher", KINDS[kind](encoder_folder))
    layers = TeacherLayers(int(student.removeprefix("layers:")))
    with pytest.raises(ModelError, match=fault):
        write_layers(str(teacher), layers, "even", str(tmp_path / "student"))
    assert not (tmp_path / "student").exists()
