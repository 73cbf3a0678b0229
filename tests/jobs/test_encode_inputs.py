"""`medembed encode` with files of one's own, and with bad input: one line, exit status 2, the table
as it was.
"""

import contextlib
import json
import logging
import resource
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import encode
from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import EncodeRows
from medembed.encoding.encoder import Encoder
from medembed.encoding.model_files import model_fingerprint
from medembed.encoding.table import Table, find_table
from medembed.matryoshka import truncate
from tests.tables import write_corpus, write_table
from tests.tiny import WIDTH

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
Run = Callable[..., list[str]]
OLD = {f"d{n}": f"SECRET heart pain {n}" for n in range(6)}
NEW = OLD | {f"e{n}": f"SECRET skin rash {n}" for n in range(12)}
ROWS = 6  # of one corpus file, and of one item


@pytest.fixture
def quiet_loggers() -> Iterator[None]:
    """A job sets these levels, Ray's where it connects."""
    loggers = [logging.getLogger(name) for name in ("medembed", "ray.data")]
    levels = [logger.level for logger in loggers]
    loggers[1].setLevel(logging.CRITICAL)
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def table(tmp_path: Path, encoder_folder: Path) -> Table:
    """Return version 1 of a table: OLD, by the tiny encoder's name with vectors by hand."""
    vectors = truncate(
        np.random.default_rng(0).normal(size=(len(OLD), WIDTH)).astype(np.float32), WIDTH
    )
    dataset = write_corpus(
        tmp_path / "old", [{"document_id": name, "text": OLD[name]} for name in OLD], ROWS
    )
    dataset = Dataset(dataset.uri, replace(dataset.manifest, fingerprint="old"))
    return write_table(
        tmp_path / "t.lance", dataset, vectors, encoder=model_fingerprint(encoder_folder)
    )


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Return NEW as a data set of three files."""
    return write_corpus(
        tmp_path / "data", [{"document_id": name, "text": NEW[name]} for name in NEW], ROWS
    )


@pytest.fixture
def run(
    tmp_path: Path,
    encoder_folder: Path,
    quiet_loggers: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs the job on the session's Ray with these keys in place of good ones; returns its last
    lines.

    Expects this exit status; after a failure the table must be as it was.
    """
    monkeypatch.setattr("jobs.session.ray_session", lambda _: contextlib.nullcontext())
    monkeypatch.setattr("jobs.session.exit_on_signals", lambda: None)
    monkeypatch.setattr("medembed.encoding.changes.items_of", lambda rows, most: ROWS)

    def run(data: object, status: int, **changes: object) -> list[str]:
        before = _content(tmp_path / "t.lance")
        keys = {
            "model": encoder_folder,
            "data": data,
            "output": tmp_path / "t.lance",
            "encoding.backend": "torch",
        }
        with pytest.raises(SystemExit) as caught:
            encode.main([f"{key}={value}" for key, value in (keys | changes).items()])
        printed = capsys.readouterr()
        assert caught.value.code == status, printed.err
        assert "SECRET" not in printed.err + printed.out
        assert not (tmp_path / "t.lance.texts").exists()
        if status:
            assert "Traceback" not in printed.err
            assert printed.err.strip().splitlines()[-1].startswith("error: ")
            assert _content(tmp_path / "t.lance") == before
        return (printed.err if status else printed.out).strip().splitlines()

    return run


def _content(uri: Path) -> tuple[int, pa.Table] | None:
    """Return (version, rows) as a reader finds them."""
    found = lance.dataset(str(uri)) if uri.exists() else None
    return found and (found.version, found.to_table())


def write_lines(path: Path, texts: dict[str, str]) -> Path:
    path.write_text(
        "".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in texts.items())
    )
    return path


def check_rows(
    tmp_path: Path, encoder_folder: Path, texts: dict[str, str], kept: Table | None = None
) -> None:
    """The table holds these texts' embeddings, and of those in `kept` the vectors that were
    there.
    """
    found = find_table(str(tmp_path / "t.lance"))
    assert found is not None
    assert sorted(name for keys in list(found.keys()) for name in keys.ids.to_pylist()) == sorted(
        texts
    )
    names = [name for name in texts if kept is None or name not in OLD]
    expected = Encoder.load(str(encoder_folder), EncodingConfig()).encode(
        [texts[name] for name in names]
    )
    assert np.abs(found.lookup(names) - expected).max() < 1e-5
    if kept is not None:
        assert np.array_equal(found.lookup(list(OLD)), kept.lookup(list(OLD)))


def test_files_of_ones_own_are_encoded_and_only_what_changed_again(
    run: Run, tmp_path: Path, encoder_folder: Path
):
    (tmp_path / "notes").mkdir()
    for number in range(3):
        write_lines(tmp_path / f"notes/{number}.jsonl", dict(list(NEW.items())[number::3]))
    lines = run(f"{tmp_path}/notes/*.jsonl", 0, **{"encoding.workers": "[1,2]"})
    assert "18 added, 0 changed, 0 deleted, 0 unchanged, 18 encoded" in lines
    check_rows(tmp_path, encoder_folder, NEW)
    whole = pa.table(
        {"note": list(NEW), "body": [text.replace(" ", "  ") for text in NEW.values()]}
    )
    pq.write_table(whole, tmp_path / "all.parquet")
    lines = run(tmp_path / "all.parquet", 0, **{"columns.id": "note", "columns.text": "body"})
    assert "18 unchanged" in lines
    summary = json.loads((tmp_path / "t.lance/summary.json").read_text())
    assert summary["corpus"] == {"documents": 18}
    assert summary["table"]["version"] == 1


def test_a_table_of_another_encoder_is_refused(
    run: Run, table: Table, dataset: Dataset, prompted_folder: Path
):
    error = run(dataset.uri, 2, model=prompted_folder)[-1]
    assert f"{table.uri}: made by encoder {table.info.encoder}, but this one is" in error


def test_files_without_ids_or_with_an_id_for_two_texts_are_refused(
    run: Run, table: Table, tmp_path: Path
):
    (tmp_path / "a.jsonl").write_text('{"text": "SECRET", "year": 2020}\n')
    assert f"{tmp_path}/a.jsonl: no column for the id (" in (
        error := run(tmp_path / "a.jsonl", 2)[-1]
    )
    assert "found text, year. Name yours: columns.id=" in error
    write_lines(tmp_path / "a.jsonl", NEW)
    with open(tmp_path / "a.jsonl", "a") as stream:
        stream.write('{"id": "d3", "text": "SECRET other"}\n')
    error = run(tmp_path / "a.jsonl", 2)[-1]
    assert f"{tmp_path}/a.jsonl:19: id 'd3' names another text at {tmp_path}/a.jsonl:4;" in error


def test_a_damaged_block_or_a_full_disk_leaves_the_table_and_what_is_done_and_the_next_run_goes_on(
    run: Run,
    table: Table,
    dataset: Dataset,
    tmp_path: Path,
    encoder_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    class OnAFullDisk(EncodeRows):
        """The kernel refuses its process to make a file longer than this, as it refuses every one
        on a full disk.
        """

        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            resource.setrlimit(
                resource.RLIMIT_FSIZE, (512, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
            )

    file = Path(dataset.corpus_files()[2][0])
    shutil.copy(file, tmp_path / "whole")
    damage_texts(file)
    assert (
        f"error: {file}: not a readable Parquet file: "
        in run(dataset.uri, 2, **{"encoding.workers": 1})[-1]
    )
    shutil.copy(tmp_path / "whole", file)
    with monkeypatch.context() as patch:
        patch.setattr("medembed.encoding.encode.EncodeRows", OnAFullDisk)
        error = run(dataset.uri, 2)[-1]
    assert f"error: {table.uri}: cannot write vectors: " in error
    assert error.endswith("The table is unchanged.")
    lines = run(dataset.uri, 0)
    assert (
        "12 added, 0 changed, 0 deleted, 6 unchanged, 12 encoded; 6 of them by an earlier run"
        in lines
    )
    check_rows(tmp_path, encoder_folder, NEW, table)


def damage_texts(file: Path) -> None:
    """Overwrite the column of texts; ids and hashes, which the driver reads first, stay."""
    column = pq.ParquetFile(file).metadata.row_group(0).column(1)
    with open(file, "r+b") as stream:
        stream.seek(column.dictionary_page_offset or column.data_page_offset)
        stream.write(b"\xff" * column.total_compressed_size)


def test_no_room_for_a_copy_of_the_texts_leaves_the_table(run: Run, table: Table, tmp_path: Path):
    notes = write_lines(tmp_path / "a.jsonl", NEW)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, limits[1]))
    try:
        error = run(notes, 2)[-1]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"error: {table.uri}.texts/" in error
    assert "cannot write it: " in error
