"""What is read of a table for memory: its own numbers, codes of its vectors, vectors by number."""

from pathlib import Path

import numpy as np
import pytest

from medembed.bits import measure_bits, to_bits
from medembed.codes import calibrate, to_int8
from medembed.encoding.codec import Storage
from medembed.encoding.commit import commit_table
from medembed.encoding.rows import check_codes, read_rows
from medembed.encoding.table import Table
from medembed.errors import ConfigError
from medembed.matryoshka import truncate
from tests.tables import write_corpus, write_table

NAMES = [f"d{n}" for n in range(50)]
VECTORS = truncate(np.random.default_rng(0).normal(size=(50, 24)).astype(np.float32), 24)
LEFT = [n for n in range(50) if n not in (1, 2, 30)]


def make(root: Path, storage: Storage = "float32", width: int = 24) -> Table:
    """Return a table in three fragments, of which rows were deleted."""
    dataset = write_corpus(root / "data", [{"document_id": name} for name in NAMES], 20)
    first = write_table(root / "t.lance", dataset, VECTORS[:, :width], storage=storage)
    dead = [(0, ["d1", "d2"]), (1, ["d30"])]
    return commit_table(first.uri, [], first.info, base=first, dead=dead)


def test_codes_of_a_table_are_by_the_ranges_of_all_its_vectors_which_are_fetched_by_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("medembed.encoding.rows._ROWS_AT_ONCE", 7)
    table = make(tmp_path)
    codes = read_rows(table, "int8")
    assert codes.ids == [NAMES[n] for n in LEFT]
    ranges = calibrate(VECTORS[LEFT])
    assert codes.ranges.fingerprint == ranges.fingerprint
    assert np.array_equal(np.concatenate([*codes.parts]), to_int8(VECTORS[LEFT], ranges))
    bits = read_rows(table, "binary")
    levels = measure_bits([VECTORS[LEFT]])
    assert bits.ranges.fingerprint == levels.fingerprint
    assert np.array_equal(np.concatenate([*bits.parts]), to_bits(VECTORS[LEFT], levels))
    for rows in (codes, bits):
        numbers = np.array([46, 0, 1, 18])
        assert np.array_equal(rows.fetch(numbers), VECTORS[LEFT][numbers])
    plain = read_rows(table)
    assert (plain.codes, plain.fetch) == (None, None)
    assert np.array_equal(np.concatenate([*plain.parts]), VECTORS[LEFT])


@pytest.mark.parametrize(("storage", "width"), [("int8", 24), ("binary", 24), ("binary", 20)])
def test_codes_that_a_table_keeps_are_read_as_they_are(
    tmp_path: Path, storage: Storage, width: int
):
    table = make(tmp_path, storage, width)
    kept = table.codec().write(VECTORS[LEFT, :width])
    for codes in (None, storage):
        rows = read_rows(table, codes)
        assert (rows.codes, rows.fetch) == (storage, None)
        parts = np.concatenate([*rows.parts])
        assert np.array_equal(parts, table.codec().read_numbers(kept))
        assert parts.dtype == (np.uint8 if storage == "binary" else np.int8)


def test_bits_of_int8_codes_are_made_and_int8_codes_of_bits_are_refused(tmp_path: Path):
    table = make(tmp_path / "int8", "int8")
    bits = read_rows(table, "binary")
    read = table.lookup(bits.ids)
    assert np.array_equal(np.concatenate([*bits.parts]), to_bits(read, measure_bits([read])))
    assert np.array_equal(bits.fetch(np.array([5])), read[5:6])
    with pytest.raises(ConfigError, match="keeps bits, of which no int8 codes can be made; choose"):
        check_codes(make(tmp_path / "bits", "binary"), "int8")
