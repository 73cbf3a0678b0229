"""Check that what Lance says in private is still what `lance_dataset` takes it for."""

from pathlib import Path

import lance
import pyarrow as pa
import pytest
from lance.fragment import write_fragments

from medembed.encoding.lance_dataset import (
    is_conflict,
    lance_options,
    open_lance,
    read_properties,
    reason_of,
)
from medembed.errors import StorageError

ROWS = pa.table({"document_id": ["a", "b"]})


def commit(uri: str, version: int) -> None:
    """Add the rows to this version, as a run does that has seen no later one."""
    new = write_fragments(ROWS, uri, mode="append")
    if version:
        first = lance.dataset(uri, version=version).get_fragments()[0].metadata
        operation = lance.LanceOperation.Update([], [first], new)
    else:
        operation = lance.LanceOperation.Overwrite(ROWS.schema, new)
    transaction = lance.Transaction(version, operation, transaction_properties={"made from": "x"})
    lance.LanceDataset.commit(uri, transaction, max_retries=0)


@pytest.fixture
def uri(tmp_path: Path) -> str:
    uri = str(tmp_path / "t.lance")
    commit(uri, 0)
    return uri


@pytest.mark.parametrize("seen", [0, 1])
def test_a_run_that_was_overtaken_is_told_from_other_failures(uri: str, seen: int):
    commit(uri, 1)
    with pytest.raises(OSError, match="conflict|0.manifest") as failed:
        commit(uri, seen)
    assert is_conflict(failed.value)
    assert not is_conflict(OSError("No space left on device"))


def test_a_reason_has_no_place_in_lances_sources(uri: str):
    data = next(Path(uri, "data").iterdir())
    data.write_bytes(bytes(data.stat().st_size))
    with pytest.raises((OSError, ValueError, RuntimeError)) as failed:
        lance.dataset(uri).to_table()
    assert ".rs:" in str(failed.value), "else there is nothing to take away"
    assert ".rs:" not in reason_of(failed.value)


def test_a_version_whose_record_is_gone_comes_from_nowhere_and_one_that_fails_is_no_guess(
    uri: str, monkeypatch: pytest.MonkeyPatch
):
    assert read_properties(open_lance(uri), "made from") == {"made from": "x"}
    assert read_properties(open_lance(uri), "other key") == {}

    def fail(self: lance.LanceDataset, version: int) -> None:
        raise OSError("LanceError(IO): the connection timed out")

    monkeypatch.setattr(lance.LanceDataset, "read_transaction", fail)
    with pytest.raises(StorageError, match="cannot read the record of version 1: .* timed out"):
        read_properties(open_lance(uri), "made from")


def test_lance_gets_the_endpoint_that_the_environment_names(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    assert lance_options("s3://b/t") == {
        "endpoint": "http://127.0.0.1:9000",
        "allow_http": "true",
        "region": "eu-west-3",
    }
    assert lance_options("/local") == {}
