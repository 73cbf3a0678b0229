"""What is wrong with a start is said in one line, before anything is up."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medembed.encoding.codec import Codec
from medembed.encoding.commit import commit_table, write_fragment
from medembed.encoding.quantize import calibrate
from medembed.encoding.table import TableInfo
from medembed.errors import MedEmbedError, ModelError, StorageError
from serve.app import build
from tests.serve.conftest import load


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"keys.file": "nowhere/keys"}, "nowhere/keys: no such file"),
        ({"keys": {"variable": "MED_NO_KEYS"}}, "MED_NO_KEYS is not set"),
        ({"limits": {"max_item": 3}}, "nearest known key is 'limits.max_items'"),
        ({"limits.max_items": "0"}, "limits.max_items: Input should be greater than or equal to 1"),
        ({"replicas": "none"}, "replicas: "),
        ({"model": "nowhere"}, "no such folder"),
        ({"models": {"base": "nowhere"}}, "nowhere: no such folder"),
    ],
)
def test_a_wrong_argument_is_one_line(encoder_folder: Path, arguments: dict[str, Any], says: str):
    with pytest.raises(MedEmbedError) as caught:
        build({"model": str(encoder_folder), **arguments})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arguments_of_a_command_line_and_of_a_file_mean_the_same(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[Any] = []
    monkeypatch.setattr("serve.app.read_keys", lambda keys: seen.append(keys) or [])
    build({"model": str(encoder_folder), "keys.variable": "K", "table": None})
    build({"model": str(encoder_folder), "keys": {"variable": "K"}})
    assert seen[0] == seen[1]
    assert seen[0].variable == "K"


def test_an_int8_table_of_the_model_gives_its_ranges_and_another_models_is_refused(
    encoder_folder: Path, trained_folder: Path, tmp_path: Path
):
    import pyarrow as pa

    encoder = load(encoder_folder).encoder
    vectors = encoder.encode(["heart pain", "skin rash", "brain"])
    ranges, uri = calibrate(vectors), str(tmp_path / "table")
    corpus = pa.table({"document_id": ["a", "b", "c"], "content_hash": ["1", "2", "3"]})
    fragment = write_fragment(uri, corpus, Codec(32, "int8", ranges).write(vectors))
    commit_table(
        uri, [fragment], TableInfo(encoder.fingerprint, "d", 32, (), "", 48, "int8"), ranges=ranges
    )
    served = load(encoder_folder, table=uri)
    assert served.ranges is not None
    assert np.array_equal(served.ranges.low, ranges.low)
    assert served.model["int8_ranges"] == ranges.fingerprint
    with pytest.raises(StorageError, match="never compared"):
        load(trained_folder, table=uri)
    with pytest.raises(StorageError, match="no embedding table there"):
        load(encoder_folder, table=str(tmp_path / "none"))


def test_a_model_that_cannot_be_loaded_is_said(tmp_path: Path):
    with pytest.raises(ModelError, match="no such folder"):
        load(tmp_path / "none")
