"""The data sets, models and trainings whose gain is known, by which preflight's verdicts are checked."""

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from benchmarks.train_worth import CHOSEN, ONTOLOGY, Material, Ours
from benchmarks.worth import DIMENSIONS, MODEL
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import load_model
from medembed.encoding.model_files import fetch_model
from medembed.training.config import TrainingConfig
from medembed.training.dev_sample import draw_dev_sample

_CODES, _QUESTIONS = 2000, 3000  # rows of each kind in the mixed data set
_DOCUMENTS = 1500


@dataclass(frozen=True)
class Case:
    """A data set with a base model and how it is trained; `after` names the case whose trained model is the base."""

    name: str
    data: str
    model: str
    pairs: int
    tokens: int
    dimensions: tuple[int, ...] = DIMENSIONS
    after: str | None = None

    @property
    def training(self) -> str:
        """What a trained model hangs on; cases that differ in dimensions alone share it."""
        return f"{self.data}-{self.model}-{self.pairs}-{self.after or 'base'}".replace(" ", "-")


CASES = (
    Case("ontology", "ontology", "MiniLM", 1280, 48),
    Case("MedQuAD", "medquad", "MiniLM", 1024, 128),
    Case("MedQuAD, at 384 alone", "medquad", "MiniLM", 1024, 128, (384,)),
    Case("MedQuAD's NHLBI pages", "nhlbi", "MiniLM", 1024, 128),
    Case("French codes and MedQuAD", "mixed", "e5-small", 1500, 128),
    Case("French codes and MedQuAD, at 384 alone", "mixed", "e5-small", 1500, 128, (384,)),
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
        tagged = {"tags": ["question_type", "source"]}
        paths = {"medquad": f"{self.data}/medquad/*.jsonl", "nhlbi": f"{self.data}/medquad/nhlbi.jsonl"}
        if name == "ontology":
            source = ONTOLOGY
        elif name == "mixed":
            source = {"path": self._write_mixed(), "languages": ["en", "fr"]}
        else:
            source = {"path": paths[name], "query_language": "en", "document_language": "en", "columns": tagged}
        return prepare(SourceConfig.model_validate(source), SplitConfig(), f"{self.folder}/data/{name}")

    def model(self, case: Case) -> str:
        """The base model, which reads as many tokens as training does."""
        if case.after is not None:
            return self.trained(next(earlier for earlier in CASES if earlier.name == case.after))
        cut = self.folder / "models" / f"{case.model}-{case.tokens}"
        if not cut.exists():
            model = load_model(fetch_model(MODEL if case.model == "MiniLM" else self.e5), EncodingConfig(), "cpu")
            model.max_seq_length = case.tokens
            model.save_pretrained(str(cut), create_model_card=False)
        return str(cut)

    def material(self, case: Case) -> Material:
        """What the training takes: the pairs, and the test queries that base and trained model are measured on."""
        dataset = self.dataset(case.data)
        drawn = TrainingConfig(dimensions=DIMENSIONS, dev_queries=1000, dev_documents=_DOCUMENTS)
        sample = draw_dev_sample(dataset, drawn, "test")
        base = self.model(case)
        return Material(case.training, dataset, base, case.pairs, None, case.tokens, sample, self.folder, self.threads)

    def trained(self, case: Case) -> str:
        """The model that training makes, from the folder if it is there."""
        output = self.folder / "trained" / case.training
        if not (output / "modules.json").exists():
            Ours({"batch_size": min(CHOSEN["batch_size"], 32)} if case.data == "nhlbi" else {}).train(
                self.material(case), 0, str(output)
            )
        return str(output)

    def _write_mixed(self) -> str:
        """Pairs of French questions for French and for English labels of ICD-10, and MedQuAD's in English."""
        path = self.folder / "mixed.jsonl"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(row) + "\n" for row in self._mix()))
        return str(path)

    def _mix(self) -> Iterator[dict[str, str]]:
        english = dict(_read_english(self.data / "icd_10_v2019.xml"))
        french = {row["code"]: row for row in _read_french(self.data / "cim10.csv.gz") if row["code"] in english}
        codes = sorted(french, key=_hash)
        for code in codes[:_CODES]:
            yield {"query": french[code]["long"], "document": english[code]}
        for code in codes[_CODES : 2 * _CODES]:
            yield {"query": french[code]["short"], "document": french[code]["long"]}
        lines = [line for path in sorted((self.data / "medquad").glob("*.jsonl")) for line in path.open()]
        for line in sorted(lines, key=_hash)[:_QUESTIONS]:
            row = json.loads(line)
            yield {"query": row["question"], "document": row["answer"]}


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _read_french(path: Path) -> Iterator[dict[str, str]]:
    yield from csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode()))


def _read_english(path: Path) -> Iterator[tuple[str, str]]:
    """(code without its dot, label) of categories and subcategories."""
    text = path.read_text(encoding="utf-8-sig")
    for code, label in re.findall(r"<name>([A-Z]\d\d(?:\.\d)?)</name>\s*<description>([^<]+)</description>", text):
        yield code.replace(".", ""), label
