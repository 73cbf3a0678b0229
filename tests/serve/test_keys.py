"""Keys: what a file of hashes may hold, and what a running server does when it changes."""

import asyncio
import contextlib
import hashlib
import logging
from pathlib import Path

import pytest

from medembed.errors import ConfigError, StorageError
from serve.config import KeysConfig
from serve.errors import RequestError
from serve.http.keys import Keys, ValidKeys, read_keys
from tests.serve.conftest import HASH, KEY, keys_of

OTHER = hashlib.sha256(b"other").hexdigest()


def find(keys: Keys, *headers: str) -> str | None:
    """Return the name of the key that a request sends; None if it is refused."""
    with contextlib.suppress(RequestError):
        return asyncio.run(keys.check(headers))
    return None


def test_hashes_come_from_a_file_and_a_variable_with_names_for_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "keys"
    file.write_text(f"# team\n{HASH.upper()}  -\n\n{OTHER} cardiology # old\n")
    monkeypatch.setenv("MED_KEYS", f"{OTHER} batch, {HASH}")
    of_file = {HASH: HASH[:8], OTHER: "cardiology"}
    of_variable = {OTHER: "batch", HASH: HASH[:8]}
    assert read_keys(KeysConfig(file=str(file))) == ValidKeys(str(file), of_file)
    assert read_keys(KeysConfig(variable="MED_KEYS")) == ValidKeys(None, {}, of_variable)
    assert read_keys(KeysConfig()) == ValidKeys()


@pytest.mark.parametrize(
    "header",
    ["Bearer  other", "Bearer \tother", "Bearer other,", " Bearer other", "Basic other", "Bearer "],
)
def test_a_key_has_one_spelling_but_for_the_case_of_bearer(header: str):
    keys = Keys(keys_of(OTHER, hashlib.sha256(b"").hexdigest()))
    assert find(keys, "Bearer other") == find(keys, "bearer other") == OTHER[:8]
    assert find(keys, header) is None
    assert find(keys) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"", "no hashes"),
        (b"# nothing\n", "no hashes"),
        (f"{HASH}\n{KEY}\n".encode(), "entry 2 is not a sha256 hash"),
        (f"{HASH} \xc3\xa9t\xc3\xa9\n".encode("latin-1"), "entry 1 has no plain name"),
        (b"\xff\xfe\x00", "not a text file"),
    ],
)
def test_a_key_file_that_is_none_is_one_line_that_never_shows_a_key(
    tmp_path: Path, content: bytes | None, says: str
):
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises((ConfigError, StorageError), match=says) as caught:
        read_keys(KeysConfig(file=str(file)))
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value)
    with pytest.raises(ConfigError, match="MED_NO_KEYS is not set"):
        read_keys(KeysConfig(variable="MED_NO_KEYS"))


def test_a_key_is_added_and_revoked_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "keys"
    file.write_text(f"{HASH} alice\n")
    fixed = hashlib.sha256(b"fixed").hexdigest()
    keys = Keys(ValidKeys(str(file), {HASH: "alice"}, {fixed: "ops"}))
    file.write_text(f"{OTHER} bob\n")
    assert find(keys, f"Bearer {KEY}") == "alice", "read less than ten seconds ago"
    monkeypatch.setattr("serve.http.keys._FRESH_FOR_S", 0.0)
    assert find(keys, f"Bearer {KEY}") is None, (
        "revoked: the first request after ten seconds sees it"
    )
    assert find(keys, "Bearer other") == "bob"
    file.write_text("")
    assert find(keys, "Bearer other") is None, "an empty file lets nobody in"
    assert find(keys, "Bearer fixed") == "ops"


def test_a_file_that_cannot_be_read_leaves_the_keys_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("serve.http.keys._FRESH_FOR_S", 0.0)
    file = tmp_path / "keys"
    keys = Keys(ValidKeys(str(file), {OTHER: "bob"}))
    caplog.set_level(logging.ERROR)
    for content in (None, b"no hash\n", b"no hash\n"):
        if content is not None:
            file.write_bytes(content)
        assert find(keys, "Bearer other") == "bob"
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "no such file" in lines[0]
    assert "entry 1 is not a sha256 hash" in lines[1]


def test_who_waits_for_the_file_shares_one_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("serve.http.keys._FRESH_FOR_S", 0.0)
    readings: list[str] = []
    monkeypatch.setattr(
        "serve.http.keys.read_file", lambda uri: readings.append(uri) or {OTHER: "bob"}
    )
    keys = Keys(ValidKeys("somewhere"))

    async def ask() -> list[str]:
        return await asyncio.gather(*(keys.check(["Bearer other"]) for _ in range(50)))

    assert asyncio.run(ask()) == ["bob"] * 50
    assert len(readings) == 1
