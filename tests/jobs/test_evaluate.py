"""`medembed evaluate` with bad input: one line before anything is encoded, exit status 2, nothing
written.
"""

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs import evaluate

Fail = Callable[..., str]
CASES = "- query: SECRET\n  above: {id: d1}\n  below: SECRET\n  abov: SECRET\n"


@pytest.fixture
def quiet_logger() -> Iterator[None]:
    """A job sets this level."""
    logger = logging.getLogger("medembed")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(scope="module")
def tracking_uri(empty_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    workspace = shutil.copytree(empty_registry, tmp_path_factory.mktemp("evaluate") / "ws")
    return f"sqlite:///{workspace}/mlflow/mlflow.db"


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "title": "", "text": "SECRET"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "SECRET"}\n')
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    return folder


@pytest.fixture
def fail(
    tmp_path: Path,
    encoder_folder: Path,
    beir: Path,
    tracking_uri: str,
    quiet_logger: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Fail:
    """Runs the job with these keys in place of good ones, without a Ray; returns its last line of
    standard error.
    """
    monkeypatch.setattr("jobs.session.ray_session", lambda _: contextlib.nullcontext())
    monkeypatch.setattr("jobs.session.exit_on_signals", lambda: None)
    # it asks the Ray that there is none of
    monkeypatch.setattr("jobs.beforehand._check", lambda *_: None)

    def run(**changes: str) -> str:
        keys = {
            "model": encoder_folder,
            "data": beir,
            "output": tmp_path / "out",
            "registry.tracking_uri": tracking_uri,
        }
        with pytest.raises(SystemExit) as caught:
            evaluate.main([f"{key}={value}" for key, value in (keys | changes).items()])
        printed = capsys.readouterr()
        assert caught.value.code == 2
        assert "Traceback" not in printed.err
        assert "SECRET" not in printed.err + printed.out
        assert not (tmp_path / "out").exists()
        last = printed.err.strip().splitlines()[-1]
        assert last.startswith("error: ")
        return last

    return run


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("data", "{tmp}/none", "{tmp}/none: no such file."),
        ("basline", "3", "basline: unknown key; the nearest known key is 'baseline'"),
        ("neighbors", "3", "neighbors: unknown key; the nearest known key is 'neighbours'"),
        ("encoding.worker", "3", "the nearest known key is 'encoding.workers'"),
        ("k", "[0]", "k.0: Input should be greater than or equal to 1, found '0'"),
        ("k", "[]", "k: "),
        ("bootstrap_samples", "5", "bootstrap_samples: "),
        ("must_rank", "{tmp}/none.yaml", "{tmp}/none.yaml: no such file."),
        ("must_rank", "{tmp}/cases.yaml", "case 1: abov: unknown key; the nearest known key is"),
        ("dimensions", "[64,8]", "the model has 32; choose values from 1 to 32."),
        ("dimensions", "[0]", "the model has 32; choose values from 1 to 32."),
        ("dimensions", "[-1]", "the model has 32; choose values from 1 to 32."),
        ("model", "{tmp}/none", "model: {tmp}/none: no such folder."),
        ("baseline", "[{model},{tmp}/none]", "baseline: {tmp}/none: no such folder."),
        ("baseline", "models:/medembed@champion", "champion: not in the registry"),
    ],
)
def test_a_bad_value_is_named_before_anything_is_encoded(
    fail: Fail, tmp_path: Path, encoder_folder: Path, key: str, value: str, message: str
):
    (tmp_path / "cases.yaml").write_text(CASES)
    line = fail(**{key: value.format(tmp=tmp_path, model=encoder_folder)})
    assert message.format(tmp=tmp_path) in line


def test_a_folder_that_is_neither_data_set_nor_beir_is_told_what_was_expected(
    fail: Fail, beir: Path
):
    (beir / "queries.jsonl").unlink()
    expected = "expected a BEIR folder with corpus.jsonl, queries.jsonl and qrels/*.tsv."
    assert f"{beir}: {expected}" in (line := fail())
    assert "`medembed prepare`" in line


def test_a_bad_row_of_a_beir_folder_leaves_nothing(fail: Fail, beir: Path):
    (beir / "corpus.jsonl").write_text('{"_id": "d1", "text": "SECRET')
    assert f"{beir}/corpus.jsonl:1: not valid JSON" in fail()
