"""What mining reads, and whether it belongs together."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.cross_encoder import CrossEncoder, is_cross_encoder
from medembed.encoding.int8_graph import encoder_fingerprint
from medembed.encoding.model_files import fetch_model, model_fingerprint
from medembed.encoding.table import Table, check_encoder
from medembed.errors import DataError
from medembed.matryoshka import check_trained
from medembed.mining.config import MiningConfig, check_window
from medembed.records import Records


@dataclass(frozen=True)
class MiningInputs:
    """A data set, its embedding table, the model that made the table, and how to mine.

    `only` names the queries to mine for; None: all that train. `records` keep what is finished.
    """

    dataset: Dataset
    table: Table
    model: str
    config: MiningConfig
    encoding: EncodingConfig
    records: Records
    only: Collection[str] | None = None

    @property
    def dimensions(self) -> int:
        return self.config.dimensions or self.table.info.width


def check_inputs(inputs: MiningInputs) -> None:
    """Raise StorageError, DataError, ModelError or ConfigError if these do not belong together."""
    dataset = inputs.dataset
    table = inputs.table
    check_encoder(table, encoder_fingerprint(fetch_model(inputs.model), inputs.encoding))
    if table.info.dataset not in ("", dataset.fingerprint):
        raise DataError(
            "{uri}: made from data set {dataset}, but {data} is {fingerprint}; "
            "encode this data set into the table.",
            uri=table.uri,
            dataset=table.info.dataset,
            data=dataset.uri,
            fingerprint=dataset.fingerprint,
        )
    check_trained([inputs.dimensions], table.info.dimensions, table.info.width)
    check_window(inputs.config, table.uri, table.rows)
    second = inputs.config.second_opinion
    if second is not None and is_cross_encoder(fetch_model(second)):
        # Workers would find out only after the whole search.
        CrossEncoder.load(second, inputs.encoding.model_copy(update={"gpus_per_worker": 0}))


def result_settings(config: MiningConfig) -> dict[str, Any]:
    """Return the settings that change the result, the second opinion by its weights."""
    second = config.second_opinion
    settings = config.model_dump(exclude={"previous"})
    return settings | {"second_opinion": second and model_fingerprint(fetch_model(second))}
