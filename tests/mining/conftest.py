"""Encode the data set of 240 pairs, for tests that mine as a user does."""

from pathlib import Path
from typing import NamedTuple

import pytest

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.table import Table
from tests.inline_spread import alone
from tests.tables import encode_dataset

ENCODING = EncodingConfig(workers=1)


class Minable(NamedTuple):
    """The first three arguments of `mine`."""

    dataset: Dataset
    table: Table
    model: str


@pytest.fixture(scope="session")
def minable(
    pairs_file: Path,
    encoder_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    ray_local: None,
) -> Minable:
    root = tmp_path_factory.mktemp("minable")
    dataset = prepare(SourceConfig(path=str(pairs_file)), SplitConfig(), str(root / "data"))
    model = str(encoder_folder)
    with alone():
        table = encode_dataset(dataset, model, root / "t.lance")
    return Minable(dataset, table, model)
