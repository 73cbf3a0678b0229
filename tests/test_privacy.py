"""What is written is its owner's alone, unless a folder says otherwise; an id that may be a text is not shown."""

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from medembed.privacy import close_files, show_id

# Entries of an ACL, as Linux keeps them: (tag, permissions, id).
OWNER, GROUP, ONE_GROUP, MOST, OTHERS, NOBODY = 0x01, 0x04, 0x08, 0x10, 0x20, 0xFFFFFFFF
SHARED = ((OWNER, 7, NOBODY), (GROUP, 5, NOBODY), (ONE_GROUP, 5, 65534), (MOST, 5, NOBODY), (OTHERS, 0, NOBODY))


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    before = os.umask(0o022)
    close_files()
    yield
    os.umask(before)


def modes(folder: Path) -> list[int]:
    (folder / "below").mkdir()
    (folder / "below" / "file").write_text("a patient's text")
    return [path.stat().st_mode & 0o777 for path in (folder, folder / "below", folder / "below" / "file")]


def test_new_files_are_their_owners_alone_and_a_folder_that_is_there_keeps_its_mode(tmp_path: Path):
    there = tmp_path / "there"
    there.mkdir()
    there.chmod(0o755)
    assert modes(there) == [0o755, 0o700, 0o600]


def test_a_default_acl_of_a_folder_counts_for_more(tmp_path: Path):
    shared = tmp_path / "shared"
    shared.mkdir()
    entries = b"".join(struct.pack("<HHI", *entry) for entry in SHARED)
    try:
        os.setxattr(shared, "system.posix_acl_default", struct.pack("<I", 2) + entries)
    except OSError:
        pytest.skip("this file system has no ACLs")
    assert modes(shared) == [0o700, 0o750, 0o640]


def hashed(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@pytest.mark.parametrize(
    "name",
    ["d-4f3a", "HP:0034518", "17", "a/b.txt#section-2", "PMC123#chunk-0", "étude_7", "https://x.org/a?b=1", "x" * 64],
)
def test_what_looks_like_an_id_is_shown(name: str):
    assert show_id(name) == name


@pytest.mark.parametrize(
    "name", ["Anna Muster, HIV positive", "one\ttwo", "x" * 65, "line\nend", "it's", 'say "ah"', "a;b", "<b>"]
)
def test_what_may_be_a_text_is_shown_as_its_hash_and_stays_so(name: str):
    assert show_id(name) == hashed(name)
    assert show_id(show_id(name)) == hashed(name)


def test_a_chunk_is_shown_as_one_of_its_document():
    assert show_id("Anna Muster#chunk-12") == f"{hashed('Anna Muster')}#chunk-12"
    assert "Muster" not in show_id("Anna Muster#chunk-of Mrs Muster")
