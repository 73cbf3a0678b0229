"""The data sets, models and trainings whose gain is known, by which preflight's verdicts are
checked.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.improvement import DIMENSIONS, MODEL
from benchmarks.train_worth import ONTOLOGY, Material, Ours
from benchmarks.verdict_rows import MAKERS, write_pairs, write_rows
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import load_model
from medembed.encoding.model_files import fetch_model
from medembed.mining.config import MiningConfig
from medembed.mining.pairs import Pair, select_pairs
from medembed.training.config import TrainingConfig
from medembed.training.record.dev_sample import draw_dev_sample
from medembed.training.train import train

_DOCUMENTS = 1500


@dataclass(frozen=True)
class Case:
    """A data set with a base model and how it is trained.

    `after` names the case whose trained model is the base; then `pairs` are others than those it
    was trained on.
    """

    name: str
    data: str
    model: str
    pairs: int
    tokens: int
    dimensions: tuple[int, ...] = DIMENSIONS
    after: str | None = None
    batch_size: int = 64

    @property
    def training(self) -> str:
        """What a trained model hangs on; cases that differ in dimensions alone share it."""
        return f"{self.data}-{self.model}-{self.pairs}-{self.after or 'base'}".replace(" ", "-")


CASES = (
    Case("ontology", "ontology", "MiniLM", 1280, 48),
    Case("MedQuAD", "medquad", "MiniLM", 1024, 128),
    Case("MedQuAD, at 384 alone", "medquad", "MiniLM", 1024, 128, (384,)),
    Case("MedQuAD's NHLBI pages", "nhlbi", "MiniLM", 1024, 128, batch_size=32),
    Case("MedQuAD's MedlinePlus pages", "medlineplus", "MiniLM", 1024, 128, batch_size=32),
    Case(
        "MedQuAD's MedlinePlus pages, at 384 alone",
        "medlineplus",
        "MiniLM",
        1024,
        128,
        (384,),
        batch_size=32,
    ),
    Case("French codes and MedQuAD", "mixed", "e5-small", 1500, 128),
    Case("French codes and MedQuAD, at 384 alone", "mixed", "e5-small", 1500, 128, (384,)),
    Case("diseases", "diseases", "MiniLM", 1024, 64),
    Case("diseases, at 384 alone", "diseases", "MiniLM", 1024, 64, (384,)),
    Case("diseases, answers shuffled", "shuffled", "MiniLM", 1024, 64),
    Case("MedQuAD, trained", "medquad", "MiniLM", 1024, 128, after="MedQuAD"),
)


@dataclass(frozen=True)
class Place:
    """Where the raw data, the multilingual model and all that is made lie."""

    data: Path
    e5: str
    folder: Path
    threads: int

    def encoding(self) -> EncodingConfig:
        return EncodingConfig(workers=self.threads)

    def dataset(self, name: str) -> Dataset:
        """The prepared data set of this name."""
        english = {"query_language": "en", "document_language": "en"}
        source: dict[str, Any]
        if name == "ontology":
            source = ONTOLOGY
        elif name in MAKERS:
            path = write_rows(name, self.data, self.folder / f"{name}.jsonl")
            source = {"path": path, **({"languages": ["en", "fr"]} if name == "mixed" else english)}
        else:
            file = "*" if name == "medquad" else name
            tagged = {"tags": ["question_type", "source"]}
            source = {"path": f"{self.data}/medquad/{file}.jsonl", "columns": tagged, **english}
        return prepare(
            SourceConfig.model_validate(source), SplitConfig(), f"{self.folder}/data/{name}"
        )

    def key(self, case: Case) -> str:
        """What the trained model and the measured scores hang on: other code may split the data set
        otherwise.
        """
        return f"{case.training}-{self.dataset(case.data).fingerprint}"

    def model(self, case: Case) -> str:
        """The base model, which reads as many tokens as training does."""
        if case.after is not None:
            return self.trained(_earlier(case))
        cut = self.folder / "models" / f"{case.model}-{case.tokens}"
        if not cut.exists():
            model = load_model(
                fetch_model(MODEL if case.model == "MiniLM" else self.e5), EncodingConfig(), "cpu"
            )
            model.max_seq_length = case.tokens
            model.save_pretrained(str(cut), create_model_card=False)
        return str(cut)

    def material(self, case: Case) -> Material:
        """What the training takes: the pairs, and the test queries that base and trained model are
        measured on.
        """
        dataset = self.dataset(case.data)
        drawn = TrainingConfig(dimensions=DIMENSIONS, dev_queries=1000, dev_documents=_DOCUMENTS)
        sample = draw_dev_sample(dataset, drawn, "test")
        base = self.model(case)
        return Material(
            case.training,
            dataset,
            base,
            case.pairs,
            None,
            case.tokens,
            sample,
            self.folder,
            self.threads,
        )

    def trained(self, case: Case) -> str:
        """The model that training makes, from the folder if it is there."""
        output = self.folder / "trained" / self.key(case)
        if not (output / "modules.json").exists():
            material = self.material(case)
            config = Ours({"batch_size": case.batch_size}).config(material, 0)
            examples = write_pairs(
                material.dataset, self._pairs(case, material.dataset), f"{output}-examples"
            )
            train(material.dataset, examples, material.model, str(output), config)
        return str(output)

    def _pairs(self, case: Case, dataset: Dataset) -> list[Pair]:
        """The case's training pairs, behind those that its base model has seen."""
        seen = _earlier(case).pairs if case.after else 0
        return select_pairs(dataset, MiningConfig(max_pairs=seen + case.pairs))[seen:]


def _earlier(case: Case) -> Case:
    """The case whose trained model is the base of this one."""
    return next(earlier for earlier in CASES if earlier.name == case.after)
