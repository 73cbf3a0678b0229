import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medembed.encoding.isolate import Attempts, collect_failed, encode_apart
from medembed.encoding.staging import Staging
from medembed.errors import DataError, ModelError


class Died(BaseException):
    """Stands for the end of the process: nothing after it runs."""


def encoder(bad: set[int], deadly: set[int]):
    def encode(texts):
        rows = [int(text) if text.isdecimal() else 99 for text in texts]  # 99: the made-up text
        if deadly & set(rows):
            raise Died
        if bad & set(rows):
            raise RuntimeError("secret text")
        return np.array([[row, 1.0] for row in rows], np.float32), rows

    return encode


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    st.integers(1, 80),
    st.sets(st.integers(0, 79), max_size=3),
    st.sets(st.integers(0, 79), max_size=2),
)
def test_every_row_but_those_that_crash_is_encoded_however_often_the_process_dies(
    tmp_path_factory: pytest.TempPathFactory, rows: int, bad: set[int], deadly: set[int]
):
    staging = Staging(str(tmp_path_factory.mktemp("t")), 0, "key")
    texts = [str(row) for row in range(rows)]
    for _ in range(30):
        attempts = Attempts(staging, 0, "run")
        try:
            vectors, lengths, kept = encode_apart(encoder(bad, deadly), texts, attempts, limit=10)
            break
        except Died:
            continue
    expected = [row for row in range(rows) if row not in bad | deadly]
    assert kept == lengths == expected
    assert vectors[:, 0].tolist() == expected
    assert sorted(attempts.failed) == sorted((bad | deadly) & set(range(rows)))


def test_more_than_the_limit_is_an_error_that_shows_no_text(tmp_path: Path):
    attempts = Attempts(Staging(str(tmp_path), 0, "key"), 0, "run")
    with pytest.raises(DataError, match="max_failed=2") as caught:
        encode_apart(
            encoder(set(range(9)), set()), [str(row) for row in range(9)], attempts, limit=2
        )
    assert "secret" not in str(caught.value)


def test_a_document_is_named_with_the_type_of_its_error(tmp_path: Path):
    attempts = Attempts(Staging(str(tmp_path), 0, "key"), 0, "run")
    encode_apart(encoder({1}, set()), ["0", "1", "2"], attempts, limit=2)
    assert attempts.failed == {1: "RuntimeError"}
    assert collect_failed([{"d1": "RuntimeError"}, {"a": "IndexError"}], 2) == {
        "a": "IndexError",
        "d1": "RuntimeError",
    }
    with pytest.raises(
        DataError, match=r"2 documents crash the encoder \(IndexError, RuntimeError\), e.g. id 'a'"
    ):
        collect_failed([{"d1": "RuntimeError"}, {"a": "IndexError"}], 1)


def test_no_document_is_blamed_where_a_made_up_text_fails_too(tmp_path: Path):
    def encode(texts):
        raise MemoryError(texts[0])

    attempts = Attempts(Staging(str(tmp_path), 0, "key"), 0, "run")
    with pytest.raises(
        ModelError, match="failed with MemoryError, and fails on a made-up text too"
    ) as caught:
        encode_apart(encode, ["secret"] * 3, attempts, limit=10)
    assert not attempts.failed
    assert "secret" not in str(caught.value)


def test_a_limit_holds_for_documents_that_end_the_process_too(tmp_path: Path):
    staging, texts = Staging(str(tmp_path), 0, "key"), [str(row) for row in range(9)]
    with pytest.raises(
        DataError,
        match=r"3 documents of one item crash the encoder \(its process ended\), more than",
    ):
        for _ in range(20):
            with contextlib.suppress(Died):
                encode_apart(
                    encoder(set(), set(range(9))), texts, Attempts(staging, 0, "run"), limit=2
                )


def test_the_first_attempt_encodes_all_at_once_and_leaves_its_note_alone(tmp_path: Path):
    sizes = []

    def encode(texts):
        sizes.append(len(texts))
        return np.ones((len(texts), 2), np.float32), [1] * len(texts)

    encode_apart(encode, ["a"] * 300, Attempts(Staging(str(tmp_path), 0, "key"), 0, "run"), limit=0)
    encode_apart(encode, ["a"] * 300, Attempts(Staging(str(tmp_path), 0, "key"), 0, "run"), limit=0)
    assert sizes == [300] + [19] * 15 + [15]


def test_a_row_is_not_blamed_for_the_death_of_its_driver(tmp_path: Path):
    staging, texts = Staging(str(tmp_path), 0, "key"), [str(row) for row in range(17)]
    # each dies twice: all at once first, then, by chance, at the last row alone
    for run in ("one", "two", "three"):
        for deadly in (set(range(17)), {16}):
            with pytest.raises(Died):
                encode_apart(encoder(set(), deadly), texts, Attempts(staging, 0, run), limit=0)
    assert encode_apart(encoder(set(), set()), texts, Attempts(staging, 0, "four"), limit=0)[
        2
    ] == list(range(17))
