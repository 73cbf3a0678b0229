"""Documents that crash the encoder are left out and named; where all do, there is no table."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from medembed.encoding.encode import update_table
from medembed.encoding.encoder import Encoder
from medembed.encoding.table import find_table
from medembed.encoding.worker import EncodeRows
from medembed.errors import DataError
from tests.encoding.test_encode import CONFIG, read_hashes, write_corpus_file
from tests.inline_spread import alone

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


def test_documents_that_crash_the_encoder_are_left_out_and_named(
    encoder_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    class Fragile(EncodeRows):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            encode = self.encoder.encode_and_count

            def crash(texts: list[str], role: str = "document") -> Any:
                if any("poison" in text for text in texts):
                    os.kill(os.getpid(), signal.SIGKILL)
                if any("bad" in text for text in texts):
                    raise RuntimeError("no")
                return encode(texts, role)

            self.encoder.encode_and_count = crash

    monkeypatch.setattr("medembed.encoding.encode.EncodeRows", Fragile)
    texts = {f"d{n}": f"pain {n}" for n in range(12)} | {"d7": "bad text", "d9": "poison"}
    files = [write_corpus_file(tmp_path / "a", texts)]
    found = update_table(files, "one", str(encoder_folder), str(tmp_path / "t.lance"), CONFIG)
    assert found.failed == {"d7": "RuntimeError", "d9": "its process ended"}
    assert sorted(read_hashes(found.table)) == sorted(texts.keys() - {"d7", "d9"})
    left_out = "d7 (RuntimeError), d9 (its process ended)"
    assert f"2 documents crash the encoder and are left out: {left_out}" in caplog.messages
    assert (found.counts["left out"], found.table.info.dataset) == (2, "")
    monkeypatch.undo()
    with alone():
        again = update_table(files, "one", str(encoder_folder), str(tmp_path / "t.lance"), CONFIG)
    assert (again.counts["encoded"], again.table.rows, again.table.info.dataset) == (2, 12, "one")


@pytest.mark.usefixtures("no_actors")
def test_a_corpus_of_which_no_document_can_be_encoded_makes_no_table(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    encode = Encoder.encode_and_count

    def crash(self: Encoder, texts: list[str], role: str = "document", **options: Any) -> Any:
        if any("pain" in text for text in texts):
            raise IndexError("SECRET")
        return encode(self, texts, role, **options)

    monkeypatch.setattr(Encoder, "encode_and_count", crash)
    files, place = (
        [write_corpus_file(tmp_path / "a", {"d0": "pain 0", "d1": "pain 1"})],
        tmp_path / "t.lance",
    )
    with pytest.raises(
        DataError,
        match=r"all its documents crash the encoder, d0 \(IndexError\), d1 \(IndexError\)",
    ):
        update_table(files, "one", str(encoder_folder), str(place), CONFIG)
    assert find_table(str(place)) is None
    monkeypatch.undo()
    with alone():
        assert update_table(files, "one", str(encoder_folder), str(place), CONFIG).table.rows == 2
