"""The champion and what the lineage says about it: its data set, its embedding table, how it came
to be.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from medembed import storage
from medembed.data.dataset import Dataset, open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.model_files import fetch_model, model_fingerprint
from medembed.encoding.table import Table, find_table
from medembed.errors import MedEmbedError, ModelError, StorageError
from medembed.registry.champion import read_champion
from medembed.registry.models import CHAMPION, Registry, Version
from medembed.retraining.config import RetrainConfig
from medembed.tags import Lineage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Champion:
    """The model that a candidate must beat; without a `version` it is the one that a first training
    starts from.

    `dataset` is what it knows, `table` the embedding table that is served with it, `increments` how
    often it was trained on since it was trained anew.
    """

    version: Version | None
    model: str
    encoder: str
    dataset: Dataset | None
    table: Table | None
    increments: int

    @property
    def number(self) -> str | None:
        return self.version.version if self.version else None

    @property
    def taken(self) -> Mapping[str, str]:
        """{content hash: name} of the files that its data set was made from."""
        return self.dataset.manifest.taken if self.dataset else {}

    def is_full_due(self, full_every: int | None) -> bool:
        """Whether the next training begins anew: the first one, and one of so many in a row."""
        return self.version is None or (
            full_every is not None and self.increments + 1 >= full_every
        )

    def describe(self) -> str:
        name = (
            f"models:/{self.version.name}/{self.version.version}"
            if self.version
            else f"none yet: {self.model}"
        )
        return f"champion {name} ({self.encoder})"


def read_taken(config: RetrainConfig, registry: Registry) -> Mapping[str, str]:
    """{content hash: name} of the files that the champion knows, without a look at its model."""
    number, name = read_champion(registry, registry.config.model_name), registry.config.model_name
    lineage = registry.resolve(f"models:/{name}/{number}").lineage if number else Lineage()
    dataset = _dataset(lineage, config)
    return dataset.manifest.taken if dataset else {}


def read_current(config: RetrainConfig, registry: Registry) -> Champion:
    """Raises ModelError for a champion that does not load, StorageError for a data set of it that
    is gone.
    """
    number = read_champion(registry, registry.config.model_name)
    if number is None:
        model = storage.absolute(config.model)
        return Champion(
            None, model, model_fingerprint(fetch_model(model)), _dataset(Lineage(), config), None, 0
        )
    version = registry.resolve(f"models:/{registry.config.model_name}/{number}")
    encoder, lineage = _check_loads(version), version.lineage
    return Champion(
        version=version,
        model=version.source,
        encoder=encoder,
        dataset=_dataset(lineage, config),
        table=_table(lineage, encoder),
        increments=int(lineage.increments or 0),
    )


def _check_loads(version: Version) -> str:
    """The fingerprint of a version's model, which was loaded and has encoded a text."""
    try:
        # no conversion for a text
        encoder = Encoder.load(version.source, EncodingConfig(backend="torch"))
        encoder.encode(["warm up"], "query")
    except MedEmbedError as error:
        raise ModelError(
            f"models:/{version.name}@{CHAMPION}, version {version.version}, does not load: {error} "
            "Make another one champion (medembed rollback, medembed promote); nothing was changed."
        ) from None
    registered = version.lineage.encoder or encoder.fingerprint
    if registered != encoder.fingerprint:
        raise ModelError(
            f"models:/{version.name}@{CHAMPION}: {version.source} holds {encoder.fingerprint}, but "
            f"{registered} was registered; restore it from a backup, or make another version "
            "champion."
        )
    return encoder.fingerprint


def _dataset(lineage: Lineage, config: RetrainConfig) -> Dataset | None:
    if lineage.dataset is not None and lineage.dataset.uri is not None:
        return open_dataset(lineage.dataset.uri)
    return open_dataset(storage.absolute(config.data)) if config.data else None


def _table(lineage: Lineage, encoder: str) -> Table | None:
    named = lineage.table
    if named is None or named.uri is None or named.version is None:
        return None
    try:
        table = find_table(named.uri, named.version)
    except StorageError as error:
        logger.warning("the champion's table cannot be had, the corpus is encoded anew: %s", error)
        return None
    return table if table is not None and table.info.encoder == encoder else None
