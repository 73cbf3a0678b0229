import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.model_files import save_card
from medembed.errors import ModelError
from medembed.evaluation.sample import Sample
from medembed.lineage import CheckpointManifest, Source
from medembed.training.collective import AllRefused
from medembed.training.config import TrainingConfig
from medembed.training.lesson import Lesson
from medembed.training.loss_config import LossConfig
from medembed.training.rows.columns import taught_texts
from medembed.training.rows.teacher_vectors import encode_by_role, read_lesson
from tests.tables import write_corpus, write_table
from tests.tiny import WIDTH
from tests.training.test_columns import CORPUS_ROWS, JUDGED, write

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write(tmp_path_factory.mktemp("data") / "d", CORPUS_ROWS, JUDGED)


def config(guide: Path, width: int = WIDTH) -> TrainingConfig:
    return TrainingConfig(
        dimensions=(width,),
        select_dimension=width,
        cpus_per_worker=1,
        loss=LossConfig(name="distill", guide=str(guide)),
    )


def test_a_teacher_gives_each_text_the_vector_of_its_role(dataset: Dataset):
    def vectors(texts: list[str], role: str) -> np.ndarray:
        return np.array(
            [[len(texts), len(text), role == "query"] for text in texts], dtype=np.float32
        )

    vectors_of_texts = encode_by_role(taught_texts(dataset), vectors)
    assert vectors_of_texts[2].tolist() == [5, 1, 0]
    assert vectors_of_texts[6].tolist() == [2, 10, 1]


def test_a_text_that_is_left_out_is_not_learned_under_any_id(dataset: Dataset):
    every = [text.text for text in taught_texts(dataset)]
    assert {"B", "text of q1"} < set(every)
    left_out = frozenset({"B", "text of q1"})
    texts = [text.text for text in taught_texts(dataset, left_out)]
    assert texts == [text for text in every if text not in left_out]


def test_targets_are_a_teachers_vectors_turned_to_their_principal_axes(
    dataset: Dataset, encoder_folder: Path
):
    texts, targets = read_lesson(dataset.uri, config(encoder_folder), None, CPU)
    assert [text.text for text in texts[-3:]] == ["N", "text of q1", "text of q2"]
    teacher = Encoder.load(str(encoder_folder), EncodingConfig())
    own = teacher.encode([text.text for text in texts])
    assert np.abs(targets @ targets.T - own @ own.T).max() < 1e-5, "cosines see no rotation"
    held = (targets.astype(np.float64) ** 2).sum(0)
    assert (np.diff(held) < 1e-6).all(), "the first dimensions hold the most"


def test_documents_that_are_learned_are_read_from_the_table_of_a_teacher_with_trained_prefixes(
    encoder_folder: Path, tmp_path: Path
):
    trained = tmp_path / "trained"
    shutil.copytree(encoder_folder, trained)
    save_card(trained, CheckpointManifest(dimensions=(WIDTH, 8)))
    corpus = write_corpus(tmp_path / "data", [{"document_id": name} for name in "abcd"], 2)
    vectors = np.random.default_rng(0).normal(size=(4, WIDTH)).astype(np.float32)
    table = write_table(tmp_path / "table.lance", corpus, vectors)
    lesson = Lesson(table, Sample((), (), {}, ()), frozenset({"b"}), Source(""))
    texts, targets = read_lesson(corpus.uri, config(trained), lesson, CPU)
    assert [text.text for text in texts] == ["a", "c", "d"]
    assert (targets == vectors[[0, 2, 3]]).all()
    more = write_corpus(tmp_path / "more", [{"document_id": name} for name in "abcde"], 5)
    with pytest.raises(AllRefused, match="1 documents are not in the table, e.g. id 'e'"):
        read_lesson(more.uri, config(trained), lesson, CPU)


def test_a_teacher_that_is_narrower_than_what_is_trained_is_refused(
    dataset: Dataset, encoder_folder: Path
):
    with pytest.raises(AllRefused) as refused:
        read_lesson(dataset.uri, config(encoder_folder, WIDTH + 1), None, CPU)
    assert isinstance(refused.value.error, ModelError)
    assert "its vectors have 32 dimensions, but 33 are trained" in str(refused.value)
