"""What an earlier data set knew, so that the next one keeps its ids and splits."""

from dataclasses import dataclass, field

import pyarrow as pa

from medembed import storage
from medembed.data.config import SplitConfig
from medembed.data.dataset import open_dataset
from medembed.errors import DataError
from medembed.language import tr
from medembed.schema import GROUPS


@dataclass(frozen=True)
class Memory:
    """What an earlier data set knew: its ids, and the split of every text and key."""

    document_ids: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    query_ids: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    groups: pa.Table = field(default_factory=GROUPS.empty_table)


def remember(splits: SplitConfig) -> Memory:
    """Return what the data set `splits.previous` knew; nothing without one.

    Raises DataError if it has held queries back that would train or choose checkpoints now.
    """
    if splits.previous is None:
        return Memory()
    dataset = open_dataset(storage.absolute(splits.previous))
    for kind, value in dataset.hold_back.items():
        if getattr(splits.hold_back, kind) != value:
            raise DataError(
                "splits.hold_back.{kind}: found {own}, but {uri}, from which the "
                "data grows, holds back {value}; set splits.hold_back.{kind}={value}.",
                kind=kind,
                own=getattr(splits.hold_back, kind) or tr("none"),
                uri=dataset.uri,
                value=value,
            )
    return Memory(dataset.document_ids(), dataset.query_ids(), dataset.groups())
