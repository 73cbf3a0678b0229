"""What is written is its owner's alone, unless a folder says otherwise."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from medembed.privacy import close_files

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
