"""Prepare a data set and mine its examples: what a whole training starts from."""

from pathlib import Path
from typing import NamedTuple

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_corpus
from medembed.mining.config import MiningConfig
from medembed.mining.examples import Examples
from medembed.mining.mine import mine
from tests.inline_spread import alone


class Mined(NamedTuple):
    """The first arguments of `train`."""

    dataset: Dataset
    examples: Examples
    model: str


def prepare_and_mine(pairs: Path, model: str, root: Path) -> Mined:
    """Return the data set of these pairs, and its examples mined by this model."""
    encoding = EncodingConfig(workers=1)
    dataset = prepare(SourceConfig(path=str(pairs)), SplitConfig(), str(root / "data"))
    files = dataset.corpus_files()
    with alone():
        table = encode_corpus(files, dataset.fingerprint, model, str(root / "t.lance"), encoding)
        config = MiningConfig(margin=0)
        examples = mine(dataset, table, model, str(root / "examples"), config, encoding)
    return Mined(dataset, examples, model)
