"""Progress as a log shows it: counts, rates, time left."""

import time

import pytest

from medembed import progress
from medembed.progress import track


def test_a_log_line_has_the_rates_of_units_and_of_tokens_and_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(progress, "_LOG_INTERVAL_S", 0.0)

    def items():
        for number in range(4):
            time.sleep(0.1)
            yield 50, number

    assert list(track(items(), 400, "encode", "documents", tokens=lambda _: 1000)) == [0, 1, 2, 3]
    lines = [line for line in capsys.readouterr().err.splitlines() if "200 of 400" in line]
    shown = lines[-1]
    assert shown.startswith("  encode: 200 of 400 documents (50%), ")
    assert "ETA 00:0" in shown
    documents, tokens = (
        float(shown.split(unit)[0].split()[-1].replace(",", ""))
        for unit in (" documents/s", " tokens/s")
    )
    assert 100 < documents <= 500
    assert tokens == pytest.approx(20 * documents, rel=0.3)


def test_without_tokens_there_is_one_rate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(progress, "_LOG_INTERVAL_S", 0.0)
    assert list(track([(1, "a"), (1, "b")], 2, "read", "parts")) == ["a", "b"]
    shown = capsys.readouterr().err
    assert "2 of 2 parts (100%)" in shown
    assert "tokens" not in shown
