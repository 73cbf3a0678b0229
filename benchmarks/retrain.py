"""Retraining drop by drop: with replay, with new data only, and anew on all data each time.

MedQuAD's seven files (JSON lines of question and answer) are drops of 150 training, 60 test and 30
dev questions; a question or an answer that stood before is left out. Each way is `medembed retrain`
with its own registry, its gate forced, so that the ways are compared and not the gate, whose
decision is shown. After each drop the new champion and the one before rank the same corpus, all
documents so far, for the new test questions and for those of earlier drops.
"""

import json
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import yaml

from benchmarks.improvement import MODEL
from benchmarks.retrain_report import (
    DIMENSIONS,
    FULL,
    NEW_ONLY,
    REPLAY,
    Step,
    describe_step,
    draw,
    print_summary,
    print_table,
)
from jobs.ray_session import ray_session
from medembed.data.dataset import open_dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_corpus
from medembed.encoding.encoder import load_model
from medembed.encoding.model_files import fetch_model
from medembed.evaluation.evaluate import evaluate
from medembed.evaluation.result import Evaluation
from medembed.finetuning.retrain import Retrained, retrain
from medembed.finetuning.retrain_config import RetrainConfig
from medembed.registry.champion import make_champion
from medembed.registry.models import Registry, Version
from medembed.schema import content_hash
from medembed.spelling import words_key

FILES = ("cancergov", "ghr", "medlineplus", "niddk", "seniorhealth", "nhlbi", "cdc")
TRAIN, TEST, DEV = 150, 60, 30
WAYS: dict[str, dict[str, Any]] = {REPLAY: {}, NEW_ONLY: {"replay": 0}, FULL: {"full_every": 1}}
BASE: dict[str, Any] = {
    "training": {
        "dimensions": DIMENSIONS,
        "learning_rate": 2e-4,
        "batch_size": 32,
        "max_length": 128,
        "epochs": 2,
        "checkpoint_steps": 1000,
        "dev_documents": 100,
    },
    "mining": {"negatives": 0, "window": 10},
    "evaluation": {"dimensions": DIMENSIONS, "k": (10,)},
    "gate": {"force": True, "reason": "a benchmark of ways to train"},
    "settle_s": 0,
}


def write_drops(medquad: Path, folder: Path, *, full: bool) -> list[Path]:
    """A JSONL file for each of MedQuAD's files: rows in an order that a hash decides, each with its
    split.
    """
    seen: set[str] = set()
    drops = []
    for name in FILES:
        rows = [json.loads(line) for line in (medquad / f"{name}.jsonl").read_text().splitlines()]
        fresh = []
        for row in sorted(rows, key=lambda row: content_hash(f"{row['question']} {row['answer']}")):
            texts = {words_key(row["question"]), words_key(row["answer"])}
            if "" not in texts and not texts & seen:
                seen |= texts
                fresh.append({"question": row["question"], "answer": row["answer"]})
        sizes = (len(fresh) // 4, len(fresh) // 8, len(fresh)) if full else (TEST, DEV, TRAIN)
        splits = [
            split
            for split, size in zip(("test", "dev", "train"), sizes, strict=True)
            for _ in range(size)
        ]
        drops.append(folder / f"{len(drops) + 1}-{name}.jsonl")
        drops[-1].write_text(
            "".join(
                json.dumps(row | {"split": split}) + "\n"
                for row, split in zip(fresh, splits, strict=False)
            )
        )
    return drops


def follow(
    way: str,
    drops: list[Path],
    model: str,
    folder: Path,
    increment: dict[str, Any],
    training: dict[str, Any],
    threads: int,
) -> Iterator[Step]:
    """All drops, one after another."""
    landing = folder / "landing"
    landing.mkdir(parents=True)
    trained = {**BASE["training"], "cpus_per_worker": threads, **training}
    config = RetrainConfig.model_validate(
        {
            **BASE,
            "training": trained,
            "encoding": {"workers": threads},
            "model": model,
            "output": str(folder / "out"),
            "registry": {"workspace": str(folder)},
            "source": {"path": str(landing), "document_language": "en", "query_language": "en"},
            "increment": {**WAYS[way], **increment},
        }
    )
    registry = Registry(f"sqlite:///{folder}/mlflow.db", config.registry)
    old: frozenset[str] = frozenset()
    for drop in drops:
        (landing / drop.name).write_bytes(drop.read_bytes())
        champion = registry.aliases("medembed").get("champion")
        result = retrain(config, registry, partial(_make_champion, registry))
        assert result.version is not None
        assert result.dataset is not None
        former = registry.resolve(f"models:/medembed/{champion}").source if champion else model
        models = (model, former, result.version.source)
        base, before, after = (_by_query(_measure(config, result, one)) for one in models)
        assert result.decision is not None
        yield Step(result.decision.outcome, result.seconds, old, base, before, after)
        old = frozenset(after)


def _make_champion(registry: Registry, version: Version, seen: str | None) -> list[str]:
    make_champion(registry, version, seen)
    return []


def _measure(config: RetrainConfig, result: Retrained, model: str) -> Evaluation:
    """On all test questions; found again where the gate has measured it."""
    assert result.dataset is not None
    data = open_dataset(result.dataset.uri)
    table = encode_corpus(
        data.corpus_files(),
        data.fingerprint,
        model,
        f"{config.output}/tables/{{key}}.lance",
        config.encoding,
    )
    return evaluate(
        data,
        table,
        model,
        f"{config.output}/evaluations/{{key}}",
        config.evaluation,
        config.encoding,
    )


def _by_query(evaluation: Evaluation) -> dict[str, Any]:
    assert evaluation.queries is not None
    columns = [evaluation.queries.values[dimension]["ndcg@10"] for dimension in DIMENSIONS]
    return dict(zip(evaluation.queries.units.ids, np.stack(columns, axis=1).tolist(), strict=True))


@click.command()
@click.option(
    "--medquad",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="folder of its files",
)
@click.option("--full", is_flag=True, help="all rows instead of 240 of each file")
@click.option("--way", multiple=True, type=click.Choice(list(WAYS)), default=list(WAYS))
@click.option(
    "--increment",
    multiple=True,
    help="key=value of increment, above what a way sets, e.g. replay=1",
)
@click.option(
    "--training", multiple=True, help="key=value of training, of each way, e.g. average=1"
)
@click.option("--threads", default=2, show_default=True, help="of a training, and encoding workers")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="what a way gave stays there; default: nowhere",
)
@click.option("--plot", type=click.Path(path_type=Path), help="PNG to write")
def main(
    medquad: Path,
    full: bool,
    way: tuple[str, ...],
    increment: tuple[str, ...],
    training: tuple[str, ...],
    threads: int,
    folder: Path | None,
    plot: Path | None,
) -> None:
    """Prints a line for each drop, a table in Markdown, and what is lost and gained."""
    logging.disable(logging.INFO)
    found: dict[str, list[Step]] = {}
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch, ray_session(None):
        drops = write_drops(medquad, Path(scratch), full=full)
        model = f"{scratch}/model"
        cut = load_model(fetch_model(MODEL), EncodingConfig(), "cpu")
        cut.max_seq_length = 128
        cut.save_pretrained(model, create_model_card=False)
        for name in way:
            kept = folder / f"{name.replace(' ', '-')}-{threads}.json" if folder else None
            if kept is not None and kept.exists():
                found[name] = _read_steps(kept)
                continue
            found[name] = []
            steps = follow(
                name,
                drops,
                model,
                Path(scratch) / name,
                _parse(increment),
                _parse(training),
                threads,
            )
            for number, step in enumerate(steps, start=1):
                found[name].append(step)
                print(
                    f"{name}, drop {number} ({drops[number - 1].stem}): {describe_step(step)}",
                    flush=True,
                )
            if kept is not None:
                rows = [asdict(step) | {"old": sorted(step.old)} for step in found[name]]
                kept.write_text(json.dumps(rows))
    print_table(found)
    print_summary(found)
    if plot is not None:
        draw(found, plot)


def _read_steps(path: Path) -> list[Step]:
    rows = json.loads(path.read_text())
    return [Step(**row | {"old": frozenset(row["old"])}) for row in rows]


def _parse(entries: tuple[str, ...]) -> dict[str, Any]:
    pairs = (entry.split("=", 1) for entry in entries)
    return {key: yaml.safe_load(value) for key, value in pairs}


if __name__ == "__main__":
    main()
