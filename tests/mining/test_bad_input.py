"""Check what `mine` refuses, before any worker starts."""

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
    """Return three documents with vectors by hand, under the encoder's name, and no query."""
    small = write_corpus(tmp_path / "small", [{"document_id": name} for name in "abc"], 2)
    encoder = model_fingerprint(encoder_folder)
    return (
        small,
        write_table(tmp_path / "s.lance", small, np.eye(3, 32, dtype=np.float32), encoder=encoder),
        str(encoder_folder),
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dimensions": 64}, r"dimensions: found \[64\], but the model has 32"),
        ({"window": 2}, "no training pair; its 0 training queries have no positive"),
        ({"window": 3}, "mining.window: found 3, but .* has 3 rows, .* choose at most 2"),
    ],
)
def test_settings_that_the_data_cannot_serve_are_refused(
    small: tuple[Dataset, Table, str], tmp_path: Path, settings: dict[str, Any], message: str
):
    refuse(small, tmp_path, message, **settings)


@pytest.mark.parametrize("another", ["model", "data set"])
def test_a_table_of_another_model_or_data_set_is_refused(
    small: tuple[Dataset, Table, str], prompted_folder: Path, tmp_path: Path, another: str
):
    dataset, table, model = small
    if another == "model":
        message = "vectors of different encoders are never compared"
        refuse((dataset, table, str(prompted_folder)), tmp_path, message)
    else:
        renamed = Dataset(dataset.uri, replace(dataset.manifest, fingerprint="another"))
        message = "made from data set by hand, but .* is another"
        refuse((renamed, table, model), tmp_path, message)


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


def refuse(
    small: tuple[Dataset, Table, str], tmp_path: Path, message: str, **settings: Any
) -> None:
    with pytest.raises(MedEmbedError, match=message) as refused:
        mine(*small, str(tmp_path / "out"), MiningConfig(**settings), ENCODING)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()
