"""cluster.yaml and the docs let nobody into a cluster without a token."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

FILE = Path(__file__).parent.parent / "cluster.yaml"


def test_nodes_send_no_usage_statistics_and_what_they_mount_exists():
    config = yaml.safe_load(FILE.read_text())
    starts = start_commands(config)
    assert len(starts) == 2
    assert all("--disable-usage-stats" in command for command in starts)
    own = [source for source in config["file_mounts"].values() if not source.startswith("~")]
    assert all((FILE.parent / source).is_file() for source in own)


def test_nobody_gets_into_the_cluster_without_a_token_or_reads_what_its_nodes_write():
    config = yaml.safe_load(FILE.read_text())
    starts = start_commands(config)
    assert all("RAY_AUTH_MODE=token ray start" in command for command in starts)
    assert all(command.startswith("umask 077;") for command in starts)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


def start_commands(config: dict[str, Any]) -> list[str]:
    commands = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    return [command for command in commands if "ray start" in command]


@pytest.mark.parametrize("name", ["README.md", "docs/serving.md"])
def test_where_the_docs_start_or_use_a_cluster_they_set_the_token_first(name: str):
    page = (FILE.parent / name).read_text()
    starts = 0
    tokens = 0
    for block in re.findall(r"^```\w*\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        if re.search(r"^(?!#).*\bray (start|up)\b", block, re.MULTILINE):
            starts += 1
            assert "RAY_AUTH_MODE=token" in re.split(r"\bray (?:start|up)\b", block)[0]
        if "ray get-auth-token" in block:
            tokens += 1
            # Ray writes it for all users to read unless the umask forbids it.
            assert "umask 077" in block.split("ray get-auth-token")[0]
    assert starts
    assert tokens
