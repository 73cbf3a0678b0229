"""Check runs that overtake each other, rollbacks, and two data sets with the same corpus."""

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from medembed.data.dataset import Dataset
from medembed.encoding.commit import commit_table
from medembed.encoding.encode import encode_corpus, update_table
from medembed.encoding.maintain import rollback
from medembed.encoding.table import find_table
from medembed.errors import StorageError
from tests.encoding.test_encode import CONFIG, read_hashes


@pytest.mark.usefixtures("no_actors")
def test_an_unchanged_corpus_of_another_data_set_starts_no_worker(
    dataset: Dataset, encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place, files = str(tmp_path / "t.lance"), dataset.corpus_files()
    first = encode_corpus(files, dataset.fingerprint, str(encoder_folder), place, CONFIG)
    monkeypatch.setattr("medembed.encoding.encode.spread", None)
    again = update_table(files, "same texts", str(encoder_folder), place, CONFIG)
    assert again.counts["unchanged"] == again.table.rows == 120
    assert (again.table.version, again.table.info.dataset) == (first.version + 1, "same texts")


def is_refused(since: int) -> AbstractContextManager[object]:
    message = f"another run has changed the table since version {since}; this one"
    return pytest.raises(StorageError, match=message)


@pytest.mark.usefixtures("no_actors")
def test_a_run_that_was_overtaken_changes_nothing(
    dataset: Dataset, encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place, files = str(tmp_path / "t.lance"), dataset.corpus_files()
    stale = encode_corpus(files, dataset.fingerprint, str(encoder_folder), place, CONFIG)
    newer = encode_corpus(files[:2], "other data", str(encoder_folder), place, CONFIG)
    dead = [(0, next(stale.keys()).ids.to_pylist()[:1])]
    with is_refused(since=1):
        commit_table(place, [], stale.info, base=stale, dead=dead)
    with is_refused(since=0):
        commit_table(place, [], stale.info)
    # it commits just after our look
    monkeypatch.setattr("medembed.encoding.commit.find_table", lambda uri: stale)
    with is_refused(since=1):
        commit_table(place, [], stale.info, base=stale)
    assert find_table(place) == newer
    monkeypatch.setattr("medembed.encoding.commit.find_table", lambda uri: None)
    with is_refused(since=0):
        commit_table(place, [], stale.info)
    table = find_table(place)
    assert table is not None
    assert (table.info, read_hashes(table)) == (newer.info, read_hashes(newer))


@pytest.mark.usefixtures("no_actors")
def test_after_a_rollback_a_table_is_its_older_data_sets_and_the_newer_one_is_brought_back(
    dataset: Dataset, encoder_folder: Path, tmp_path: Path
):
    place, files, model = str(tmp_path / "t.lance"), dataset.corpus_files(), str(encoder_folder)
    encode_corpus(files[:2], "older", model, place, CONFIG)
    newer = encode_corpus(files, "newer", model, place, CONFIG)
    back = rollback(place, 1)
    assert (back.info.dataset, back.rows) == ("older", 100)
    again = update_table(files, "newer", model, place, CONFIG)
    assert (again.counts["added"], again.counts["unchanged"], again.table.info) == (
        20,
        100,
        newer.info,
    )
    assert read_hashes(again.table) == read_hashes(newer)
