"""Read the champion, and from its lineage its data set, its table and how it came to be."""

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
from medembed.finetuning.retrain_config import RetrainConfig
from medembed.language import tr
from medembed.registry.champion import read_champion
from medembed.registry.models import CHAMPION, Registry, Version
from medembed.tags import Lineage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Champion:
    """The model that a candidate must beat; for a first training the one that it starts from.

    Then there is no `version`. `dataset` is what it knows, `table` the embedding table that is
    served with it, `increments` how often it was trained on since it was trained anew.
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
        if self.version is None:
            return True
        return full_every is not None and self.increments + 1 >= full_every

    def describe(self) -> str:
        if self.version is None:
            return tr(
                "champion none yet: {model} ({encoder})", model=self.model, encoder=self.encoder
            )
        return tr("champion {name} ({encoder})", name=self.version.reference, encoder=self.encoder)


def read_taken(config: RetrainConfig, registry: Registry) -> Mapping[str, str]:
    """Return {content hash: name} of the files that the champion knows, without loading it."""
    version = _read_version(registry)
    dataset = _open_dataset(version.lineage if version else Lineage(), config)
    return dataset.manifest.taken if dataset else {}


def read_current(config: RetrainConfig, registry: Registry) -> Champion:
    """Return the champion, loaded once to see that it works.

    Raises ModelError for one that does not load, StorageError if its data set is gone.
    """
    version = _read_version(registry)
    if version is None:
        model = storage.absolute(config.model)
        encoder = model_fingerprint(fetch_model(model))
        return Champion(None, model, encoder, _open_dataset(Lineage(), config), None, 0)
    encoder = _check_loads(version)
    lineage = version.lineage
    return Champion(
        version,
        version.source,
        encoder,
        _open_dataset(lineage, config),
        _find_table(lineage, encoder),
        int(lineage.increments or 0),
    )


def _read_version(registry: Registry) -> Version | None:
    name = registry.config.model_name
    number = read_champion(registry, name)
    return registry.resolve(f"models:/{name}/{number}") if number else None


def _check_loads(version: Version) -> str:
    """Return the fingerprint of a version's model, which was loaded and has encoded a text."""
    try:
        # no conversion for a text
        encoder = Encoder.load(version.source, EncodingConfig(backend="torch"))
        encoder.encode(["warm up"], "query")
    except MedEmbedError as error:
        raise ModelError(
            "models:/{name}@{alias}, version {version}, does not load: {error} "
            "Make another one champion (medembed rollback, medembed promote); nothing was "
            "changed.",
            name=version.name,
            alias=CHAMPION,
            version=version.version,
            error=error,
        ) from None
    registered = version.lineage.encoder or encoder.fingerprint
    if registered != encoder.fingerprint:
        raise ModelError(
            "models:/{name}@{alias}: {source} holds {fingerprint}, but "
            "{registered} was registered; restore it from a backup, or make another version "
            "champion.",
            name=version.name,
            alias=CHAMPION,
            source=version.source,
            fingerprint=encoder.fingerprint,
            registered=registered,
        )
    return encoder.fingerprint


def _open_dataset(lineage: Lineage, config: RetrainConfig) -> Dataset | None:
    if lineage.dataset is not None and lineage.dataset.uri is not None:
        return open_dataset(lineage.dataset.uri)
    return open_dataset(storage.absolute(config.data)) if config.data else None


def _find_table(lineage: Lineage, encoder: str) -> Table | None:
    source = lineage.table
    if source is None or source.uri is None or source.version is None:
        return None
    try:
        table = find_table(source.uri, source.version)
    except StorageError as error:
        logger.warning(
            tr(
                "the champion's table cannot be read, the corpus is encoded anew: {error}",
                error=error,
            )
        )
        return None
    return table if table is not None and table.info.encoder == encoder else None
