"""Preparing a source that is not as it should be, with what every such attempt promises."""

import json
from pathlib import Path
from typing import Any

import pytest

from medembed.artifact import to_entries
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.errors import DataError, StorageError
from medembed.lineage import DatasetManifest

PAIR = b'{"query": "SECRET question", "document": "SECRET answer"}\n'
OTHER = b'{"query": "SECRET other", "document": "SECRET reply"}\n'


def config(path: Path, **settings: Any) -> SourceConfig:
    """Languages are named, since detecting them is not what is tested."""
    return SourceConfig(path=str(path), query_language="en", document_language="en", **settings)


def make(path: Path, output: Path, **settings: Any) -> Dataset:
    return prepare(config(path, **settings), SplitConfig(), str(output))


def fail(path: Path, output: Path, **settings: Any) -> str:
    """The error of preparing a source, after checking that it is one line, quotes no text and
    leaves nothing.
    """
    with pytest.raises((DataError, StorageError)) as caught:
        make(path, output, **settings)
    message = str(caught.value)
    assert "SECRET" not in message
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert not output.exists()
    return message


def succeed(path: Path, output: Path, **settings: Any) -> DatasetManifest:
    """The manifest of preparing a source, after checking that it quotes no text."""
    manifest = make(path, output, **settings).manifest
    assert "SECRET" not in json.dumps(to_entries(manifest))
    return manifest
