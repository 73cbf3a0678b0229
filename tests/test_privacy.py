"""What is written is its owner's alone, unless a folder says otherwise; an id that may be a text is
not shown.
"""

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from medembed.errors import ConfigError
from medembed.privacy import check_secret, close_files, own_folder, show_id
from tests.attacks import STRANGER
from tests.stranger import attack, needs_root, open_folder

# Entries of an ACL, as Linux keeps them: (tag, permissions, id).
OWNER, GROUP, ONE_GROUP, MOST, OTHERS, NOBODY = 0x01, 0x04, 0x08, 0x10, 0x20, 0xFFFFFFFF
SHARED = (
    (OWNER, 7, NOBODY),
    (GROUP, 5, NOBODY),
    (ONE_GROUP, 5, 65534),
    (MOST, 5, NOBODY),
    (OTHERS, 0, NOBODY),
)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    before = os.umask(0o022)
    close_files()
    yield
    os.umask(before)


def modes(folder: Path) -> list[int]:
    (folder / "below").mkdir()
    (folder / "below" / "file").write_text("a patient's text")
    return [
        path.stat().st_mode & 0o777
        for path in (folder, folder / "below", folder / "below" / "file")
    ]


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


def test_a_folder_becomes_its_owners_alone_and_a_link_in_its_place_is_refused(tmp_path: Path):
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    own_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ConfigError, match="found a link or another user's folder"):
        own_folder(tmp_path / "link")


@needs_root
def test_a_folder_or_a_link_that_another_user_has_put_in_its_place_is_refused(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    for planted in (tmp_path / "folder", tmp_path / "link"):
        os.chown(planted, STRANGER, STRANGER, follow_symlinks=False)
        with pytest.raises(ConfigError, match="found a link or another user's folder"):
            own_folder(planted)


@needs_root
def test_a_secret_that_another_user_reads_is_refused_and_one_that_he_does_not_is_taken():
    with open_folder() as root:
        secret, closed = root / "token", root / "closed"
        closed.mkdir(mode=0o700)
        for file, mode, is_read in (
            (secret, 0o644, True),
            (secret, 0o640, False),
            (closed / "token", 0o644, False),
        ):
            file.write_text("a token")
            file.chmod(mode)
            assert attack("open_files", [str(file)]) == [str(file)] * is_read
            if is_read:
                with pytest.raises(
                    ConfigError, match="every user of this machine can read this secret; chmod 600"
                ):
                    check_secret(file)
            else:
                check_secret(file)
        check_secret(root / "none")


@pytest.mark.parametrize(
    "name",
    [
        "d-4f3a",
        "HP:0034518",
        "17",
        "a/b.txt#section-2",
        "PMC123#chunk-0",
        "étude_7",
        "https://x.org/a?b=1",
        "x" * 64,
    ],
)
def test_what_looks_like_an_id_is_shown(name: str):
    assert show_id(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "Anna Muster, HIV positive",
        "one\ttwo",
        "x" * 65,
        "line\nend",
        "it's",
        'say "ah"',
        "a;b",
        "<b>",
    ],
)
def test_what_may_be_a_text_is_shown_as_its_hash_and_stays_so(name: str):
    assert show_id(name) == hashed(name)
    assert show_id(show_id(name)) == hashed(name)


def test_a_chunk_is_shown_as_one_of_its_document():
    assert show_id("Anna Muster#chunk-12") == f"{hashed('Anna Muster')}#chunk-12"
    assert "Muster" not in show_id("Anna Muster#chunk-of Mrs Muster")
