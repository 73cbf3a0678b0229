"""Preparing a source that is not as it should be, with what every such attempt promises."""

import json
from pathlib import Path
from typing import Any

import pytest

from medembed.artifact import to_entries
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.prepare import prepare
from medembed.errors import DataError, MedEmbedError, StorageError
from medembed.lineage import DatasetManifest

PAIR = b'{"query": "SECRET question", "document": "SECRET answer"}\n'
OTHER = b'{"query": "SECRET other", "document": "SECRET reply"}\n'


def config(path: Path, settings: dict[str, Any]) -> SourceConfig:
    """Languages are named, since detecting them is not what is tested."""
    return SourceConfig(path=str(path), query_language="en", document_language="en", **settings)


def fail(path: Path, output: Path, **settings: Any) -> MedEmbedError:
    """The error of preparing a source, after checking that it is one line, quotes no text and
    leaves nothing.
    """
    with pytest.raises((DataError, StorageError)) as caught:
        prepare(config(path, settings), SplitConfig(), str(output))
    assert "SECRET" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).isprintable()
    assert not output.exists()
    return caught.value


def succeed(path: Path, output: Path, **settings: Any) -> DatasetManifest:
    """The manifest of preparing a source, after checking that it quotes no text."""
    manifest = prepare(config(path, settings), SplitConfig(), str(output)).manifest
    assert "SECRET" not in json.dumps(to_entries(manifest))
    return manifest
