"""What `mine` refuses, before any worker starts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.delta import NO_DELTA
from medembed.encoding.model_files import model_fingerprint
from medembed.encoding.table import Table
from medembed.errors import MedEmbedError, StorageError
from medembed.mining.config import MiningConfig
from medembed.mining.mine import mine
from medembed.mining.nearest import Scope, find_nearest
from medembed.records import Records
from tests.tables import write_corpus, write_table

ENCODING = EncodingConfig(workers=1)


@pytest.fixture
def small(tmp_path: Path, encoder_folder: Path) -> tuple[Dataset, Table, str]:
    """Three documents with vectors by hand, under the encoder's name, and no query."""
    small = write_corpus(tmp_path / "small", [{"document_id": name} for name in "abc"], 2)
    encoder = model_fingerprint(encoder_folder)
    return (
        small,
        write_table(tmp_path / "s.lance", small, np.eye(3, 32, dtype=np.float32), encoder=encoder),
        str(encoder_folder),
    )


def refuse(
    small: tuple[Dataset, Table, str], tmp_path: Path, message: str, **settings: Any
) -> None:
    with pytest.raises(MedEmbedError, match=message) as refused:
        mine(*small, str(tmp_path / "out"), MiningConfig(**settings), ENCODING)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_a_table_of_another_model_is_refused(
    small: tuple[Dataset, Table, str], prompted_folder: Path, tmp_path: Path
):
    refuse(
        (small[0], small[1], str(prompted_folder)),
        tmp_path,
        "vectors of different encoders are never compared",
    )


def test_a_table_of_another_data_set_is_refused(small: tuple[Dataset, Table, str], tmp_path: Path):
    other = Dataset(small[0].uri, replace(small[0].manifest, fingerprint="another"))
    refuse((other, *small[1:]), tmp_path, "made from data set by hand, but .* is another")


def test_dimensions_that_the_model_does_not_have_are_refused(
    small: tuple[Dataset, Table, str], tmp_path: Path
):
    refuse(small, tmp_path, r"dimensions: found \[64\], but the model has 32", dimensions=64)


def test_a_data_set_without_a_training_pair_is_refused(
    small: tuple[Dataset, Table, str], tmp_path: Path
):
    refuse(
        small, tmp_path, "no training pair, as none of 0 training queries has a positive", window=2
    )


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_vector_that_is_no_number_is_named_by_its_row(tmp_path: Path):
    vectors = np.eye(3, dtype=np.float32)
    vectors[1] = np.nan
    small = write_corpus(tmp_path / "small", [{"document_id": name} for name in "abc"], 3)
    table = write_table(tmp_path / "s.lance", small, vectors)
    scope = Scope(table, 3, ENCODING, Records(str(tmp_path / "run")), tmp_path)
    with pytest.raises(
        StorageError, match="row 'b': its embedding is not finite .* find all with `medembed table"
    ):
        find_nearest(np.eye(3, dtype=np.float32), [2, 2, 2], 1, scope, {}, NO_DELTA)


def test_a_window_above_the_corpus_is_refused_with_what_it_may_be(
    small: tuple[Dataset, Table, str], tmp_path: Path
):
    refuse(
        small, tmp_path, "mining.window: found 3, but .* has 3 rows, .* choose at most 2", window=3
    )
