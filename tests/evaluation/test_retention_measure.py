"""Models on retention sets: what one has unlearned is seen, in numbers, words and on the page."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from medembed.encoding.config import EncodingConfig
from medembed.evaluation.config import RetentionConfig
from medembed.evaluation.retention.judge import Retention
from medembed.evaluation.retention.measure import NamedModel, measure_retention, note_chance
from medembed.evaluation.retention.sets import RetentionSet, open_retention
from medembed.evaluation.retention.words import format_retention, lost_to
from tests.evaluation.test_retention_sets import write_set
from tests.tiny import SIGNS, SUBJECTS

ENCODING = EncodingConfig(workers=1)
ROWS = [
    (
        f"q{n}",
        f"my {SUBJECTS[n % 12]} {SIGNS[n // 12]}",
        f"{SIGNS[n // 12]} of the {SUBJECTS[n % 12]}",
    )
    for n in range(96)
]


@pytest.fixture(scope="module")
def forgetful(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model without what it knew of words: all have one embedding."""
    return forget(encoder_folder, tmp_path_factory.mktemp("forgetful") / "model")


def forget(model: Path, to: Path) -> Path:
    shutil.copytree(model, to)
    (weights,) = [
        path
        for path in to.rglob("*.safetensors")
        if "word_embeddings" in str(load_file(path).keys())
    ]
    tensors = load_file(weights)
    name = next(name for name in tensors if "word_embeddings" in name)
    tensors[name] = np.tile(tensors[name][:1], (len(tensors[name]), 1))
    save_file(tensors, weights, {"format": "pt"})
    return to


@pytest.fixture
def sets(tmp_path: Path) -> tuple[RetentionSet, ...]:
    write_set(tmp_path / "clinic", ROWS)
    config = RetentionConfig(sets={"clinic": str(tmp_path / "clinic")})
    return open_retention(config, str(tmp_path / "out"), None)


def measure(sets: tuple[RetentionSet, ...], output: Path, *models: tuple[str, Path]) -> Retention:
    named = [NamedModel(name, str(place)) for name, place in models]
    kept = measure_retention(sets, named, str(output), (32, 8), RetentionConfig(), ENCODING)
    assert kept is not None
    return kept


@pytest.mark.usefixtures("no_actors")
def test_a_model_that_has_unlearned_its_words_surely_loses_at_every_dimension(
    sets: tuple[RetentionSet, ...], encoder_folder: Path, forgetful: Path, tmp_path: Path
):
    kept = measure(sets, tmp_path / "out", ("new", forgetful), ("base", encoder_folder))
    assert [(row.set, row.dimension, row.is_lost) for row in kept.against[0].rows] == [
        ("clinic", 32, True),
        ("clinic", 8, True),
    ]
    assert kept.against[0].rows[0].before > 0.3
    assert kept.against[0].rows[0].after < 0.15
    lines = format_retention(kept)
    assert lines[1] == "NDCG@10 on what was not trained on"
    assert (
        "new surely loses more than 0.005 elsewhere against base: clinic at 32 and 8 dimensions"
        in lines[-1]
    )
    assert kept.metrics["retention_clinic_ndcg@10_dim_8"] == kept.means["clinic"]["new"][8]


@pytest.mark.usefixtures("no_actors")
def test_a_model_against_itself_keeps_all_and_queries_left_out_do_not_count(
    sets: tuple[RetentionSet, ...], encoder_folder: Path, tmp_path: Path
):
    left_out = frozenset(f"q{n}" for n in range(20))
    fewer = RetentionSet("clinic", sets[0].dataset, "test", left_out)
    kept = measure((fewer,), tmp_path / "out", ("new", encoder_folder), ("base", encoder_folder))
    assert [(row.queries, row.mean) for row in kept.against[0].rows] == [(76, 0.0), (76, 0.0)]
    assert lost_to(kept) == ""
    assert kept.sizes == {"clinic": (76, 96)}


@pytest.mark.usefixtures("no_actors")
def test_a_base_model_that_finds_nothing_is_told(
    sets: tuple[RetentionSet, ...], encoder_folder: Path, forgetful: Path, tmp_path: Path
):
    kept = measure(sets, tmp_path / "out", ("new", encoder_folder), ("base", forgetful))
    assert len(kept.notes) == 1
    assert kept.notes[0].startswith("clinic: base finds next to nothing there")
    assert format_retention(kept)[-1].startswith("note: clinic: base finds next to nothing")


def test_chance_is_that_of_one_document_among_all():
    """1 / log2(rank + 1) summed over ten ranks is 4.5436."""
    assert note_chance("a", "base", 0.0953, 100)
    assert not note_chance("a", "base", 0.0955, 100)
    assert not note_chance("a", "base", 0.99, 2)


def test_without_a_set_nothing_is_measured(tmp_path: Path):
    assert measure_retention((), [], str(tmp_path), (32,), RetentionConfig(), ENCODING) is None
    assert format_retention(None) == []
    assert lost_to(None) is None
