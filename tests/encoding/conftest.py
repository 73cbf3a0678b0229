"""Make the fixtures that several tests of encoding share."""

from pathlib import Path
from typing import Any

import pytest

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder


@pytest.fixture
def dataset(pairs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Return a data set of 120 documents in three files, encoded in three items."""
    monkeypatch.setattr("medembed.data.write_pass.ROWS_PER_FILE", 50)
    monkeypatch.setattr("medembed.encoding.changes.items_of", lambda rows, most: 50)
    return prepare(SourceConfig(path=str(pairs_file)), SplitConfig(), str(tmp_path / "data"))


@pytest.fixture
def model(encoder_folder: Path) -> Any:
    """Return the tiny SentenceTransformer, computed by torch."""
    return Encoder.load(str(encoder_folder), EncodingConfig(backend="torch")).model
