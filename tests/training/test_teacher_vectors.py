from pathlib import Path

import numpy as np
import pytest
import torch

from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.errors import ModelError
from medembed.training.collective import AllRefused
from medembed.training.config import TrainingConfig
from medembed.training.loss_config import LossConfig
from medembed.training.rows.columns import texts_by_role
from medembed.training.rows.teacher_vectors import encode_by_role, learn_from_teacher
from tests.tiny import WIDTH
from tests.training.test_columns import CORPUS_ROWS, JUDGED, PROMPTS, write

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write(tmp_path_factory.mktemp("data") / "d", CORPUS_ROWS, JUDGED)


def config(guide: Path, width: int = WIDTH) -> TrainingConfig:
    return TrainingConfig(
        dimensions=(width,),
        select_dimension=width,
        cpus_per_worker=1,
        loss=LossConfig(name="mse", guide=str(guide)),
    )


def test_a_teacher_gives_each_text_the_vector_of_its_role(dataset: Dataset):
    def vectors(texts: list[str], role: str) -> np.ndarray:
        return np.array(
            [[len(texts), len(text), role == "query"] for text in texts], dtype=np.float32
        )

    vectors_of_texts = encode_by_role(texts_by_role(dataset), vectors)
    assert vectors_of_texts[2].tolist() == [5, 1, 0]
    assert vectors_of_texts[6].tolist() == [2, 10, 1]


def test_texts_behind_their_prompts_learn_the_vectors_that_the_teacher_gives_them_without(
    dataset: Dataset, encoder_folder: Path
):
    columns = learn_from_teacher(dataset.uri, config(encoder_folder), PROMPTS, CPU)
    texts = ["d: A0", "d: A1", "d: B", "d: C", "d: N", "q: text of q1", "q: text of q2"]
    assert columns["text"] == texts
    teacher = Encoder.load(str(encoder_folder), EncodingConfig())
    expected = teacher.encode([text.partition(": ")[2] for text in texts])
    assert np.abs(np.array(columns["label"]) - expected).max() < 1e-6


def test_a_teacher_that_is_narrower_than_what_is_trained_is_refused(
    dataset: Dataset, encoder_folder: Path
):
    with pytest.raises(AllRefused) as refused:
        learn_from_teacher(dataset.uri, config(encoder_folder, WIDTH + 1), PROMPTS, CPU)
    assert isinstance(refused.value.error, ModelError)
    assert "its vectors have 32 dimensions, but 33 are trained" in str(refused.value)
