"""Where a Matryoshka training starts: the model turned so that its first dimensions hold the most of its vectors.

A stock model's prefixes are arbitrary axes. Turned to the principal axes of the corpus (Hotelling 1933) its full width
ranks as before, since cosines do not see a rotation, and its prefixes rank far better before the first step.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.artifact import NewOutput, find_output
from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder, load_model
from medembed.encoding.model_files import fetch_model, read_card
from medembed.spread import spread
from medembed.training.checkpoint import write_folder
from medembed.training.config import TrainingConfig
from medembed.training.material import training_documents
from medembed.training.prompts import set_prompts

logger = logging.getLogger(__name__)

KIND = "start of a training"
_SAMPLE = 4096  # documents; the axes of 1,024 rank as well at 64 dimensions (MiniLM), wider models want more


def make_start(model: str, dataset: Dataset, config: TrainingConfig, output: str, key: str) -> str:
    """The model to train: turned, as a stock folder at `output`, or `model` itself where the config says so.

    Found again if it is there. A model with trained dimensions keeps its axes, and so does one that learns a teacher's
    vectors, whose axes they are. The documents are encoded where training will run, with what a worker has.
    """
    if not config.principal_axes or config.loss.name == "mse" or read_card(fetch_model(model)).get("dimensions"):
        return model
    found = find_output(output, KIND, key)
    if found is None:
        arguments = {"model": model, "dataset": dataset, "config": config, "key": key}
        made = spread(
            [{"output": output}], _Turner, arguments, workers=1, cpus=config.cpus_per_worker, gpus=float(config.use_gpu)
        )
        (found,) = made
    narrowest = min(config.dimensions)
    logger.info(
        "       starts at the principal axes of %s documents: the first %d dimensions hold %.0f%% of their length",
        f"{found['documents']:,}", narrowest, 100 * found["held"][str(narrowest)],
    )  # fmt: skip
    return output


class _Turner:
    """The stage that makes a start, in a worker."""

    def __init__(self, model: str, dataset: Dataset, config: TrainingConfig, key: str) -> None:
        self.model, self.dataset, self.config, self.key = model, dataset, config, key

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Writes the turned model to `output`; its manifest: `held` is the share of squared length in each prefix."""
        config, device = self.config, "cuda" if self.config.use_gpu else "cpu"
        encoding = EncodingConfig(cpus_per_worker=config.cpus_per_worker, gpus_per_worker=float(config.use_gpu))
        model = load_model(fetch_model(self.model), encoding, device)
        set_prompts(model, config.prompts)
        texts = _draw(training_documents(self.dataset), config.seed)
        axes, shares = principal_axes(Encoder(model, encoding).encode(texts))
        turn(model, axes)
        held = {str(dimension): float(shares[:dimension].sum()) for dimension in config.dimensions}
        with TemporaryDirectory() as scratch, NewOutput(item["output"], KIND, self.key) as target:
            model.to("cpu").save_pretrained(scratch, create_model_card=False)
            write_folder(target, Path(scratch))
            return target.commit({"documents": len(texts), "held": held})


def principal_axes(embeddings: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """(axes [D, D], an axis a row, those that hold the most first; the share [D] of the squared length on each).

    embeddings [N, D]. The vectors are not centred, so that the axes fit cosines, and each axis points to where its
    largest component is positive, so that the same vectors always give the same axes.
    """
    vectors = embeddings.astype(np.float64)
    lengths, columns = np.linalg.eigh(vectors.T @ vectors)
    axes, lengths = columns.T[::-1], lengths[::-1].clip(0)
    largest = axes[np.arange(len(axes)), np.abs(axes).argmax(1)]
    return (axes * np.sign(largest)[:, None]).astype(np.float32), lengths / lengths.sum()


def turn(model: Any, axes: npt.NDArray[np.float32]) -> None:
    """Adds the rotation `axes` [D, D] to a SentenceTransformer, before a normalisation at its end if it has one."""
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    width = len(axes)
    rotation = Dense(width, width, bias=False, activation_function=torch.nn.Identity())
    with torch.no_grad():
        rotation.linear.weight.copy_(torch.from_numpy(axes))
    modules = list(model)
    model.insert(len(modules) - isinstance(modules[-1], Normalize), rotation.to(model.device))


def _draw(texts: Sequence[str], seed: int) -> list[str]:
    """So many of the texts, the same ones for a seed."""
    chosen = np.random.default_rng(seed).permutation(len(texts))[:_SAMPLE]
    return [texts[line] for line in sorted(chosen)]
