"""The threat model names a test for each threat, and each test exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (ROOT / "docs/threats.md").read_text())


def test_each_threat_has_a_test():
    lines = (ROOT / "docs/threats.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(NAMED) == len(rows) - 1, "all rows but the head"


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_a_claim_names_is_there(file: str, name: str):
    assert f"def {name}(" in (ROOT / file).read_text()
