"""Drops of pairs that a tiny encoder can learn from, and the config that retrains it."""

import json
import random
from pathlib import Path
from typing import Any

from medembed.config import load_config
from medembed.finetuning.retrain_config import RetrainConfig
from tests.tiny import SIGNS, SUBJECTS

HEADS = ["my", "the", "a", "his", "her"]


def write_drop(path: Path, grades: range, *, shuffled: bool = False) -> Path:
    """JSON lines: for each grade and subject a question and its document; `shuffled` gives each
    another's document.
    """
    rows = []
    for grade in grades:
        for number, subject in enumerate(SUBJECTS):
            sign = SIGNS[(number + grade) % len(SIGNS)]
            rows.append(
                {
                    "question": f"{HEADS[grade % 5]} {subject} {sign} {grade}",
                    "answer": f"{sign.capitalize()} that affects the {subject}, grade {grade}.",
                }
            )
    if shuffled:
        answers = [row["answer"] for row in rows]
        random.Random(0).shuffle(answers)
        rows = [row | {"answer": answer} for row, answer in zip(rows, answers, strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make_config(root: Path, model: Path, *arguments: str, kind: type[Any] = RetrainConfig) -> Any:
    """For files in `root`/landing; 32 and 8 dimensions, a quarter of the queries to test on."""
    return load_config(
        kind,
        [
            f"source.path={root}/landing",
            f"model={model}",
            f"output={root}/out",
            f"registry.workspace={root}",
            "settle_s=0",
            "splits.dev=0.15",
            "splits.test=0.25",
            "source.query_language=en",
            "source.document_language=en",
            "training.dimensions=[32,8]",
            "training.select_dimension=8",
            "training.batch_size=16",
            "training.epochs=3",
            "training.learning_rate=0.003",
            "training.checkpoint_steps=100",
            "training.cpus_per_worker=1",
            "training.dev_documents=100",
            "encoding.workers=1",
            "mining.window=5",
            "evaluation.bootstrap_samples=500",
            "gate.tolerance=0.05",
            "gate.min_queries=20",
            "increment.learning_rate_share=1",
            "increment.epochs_share=1",
            "increment.average=null",
            "training.average=1",
            "training.loss.hold=0",
            *arguments,
        ],
    )
