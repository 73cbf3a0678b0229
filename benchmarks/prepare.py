"""`medembed prepare` on synthetic documents against a script on Hugging Face datasets; memory of
every process.

The script does what a user would write instead: load, clean with the same Unicode rules, drop
repeated texts, split at random, save. It detects no languages, groups nothing and counts nothing.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import click
import psutil

_FILES = 8
_INSTEAD = """
import re, sys, unicodedata
import datasets
datasets.disable_progress_bars()
files, cache = sys.argv[1] + "/*.jsonl", sys.argv[2]
rows = datasets.load_dataset("json", data_files=files, split="train", cache_dir=cache)
def clean(text):
    text = unicodedata.normalize("NFC", text)
    text = "".join(" " if unicodedata.category(c) == "Cc" else c for c in text)
    return re.sub(r"\\s+", " ", text).strip()
rows = rows.map(lambda row: {"title": clean(row["title"]), "text": clean(row["text"])}, num_proc=2)
seen = set()
rows = rows.filter(lambda row: not (row["text"] in seen or seen.add(row["text"])))
for name, part in rows.train_test_split(0.1, seed=0).items():
    part.to_parquet(f"{sys.argv[2]}/{name}.parquet")
print(len(rows))
"""


@click.command()
@click.option(
    "--documents",
    default=1_000_000,
    show_default=True,
    help="synthetic documents, 20 to 90 words each",
)
def main(documents: int) -> None:
    """Prints seconds and peak resident memory of both."""
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
        folder = Path(scratch)
        write_documents(folder / "in", documents)
        ours = [
            sys.executable,
            "-m",
            "jobs.prepare",
            f"source.path={folder}/in/*.jsonl",
            "source.document_language=en",
            "source.query_language=en",
            f"output={folder}/out",
        ]
        theirs = [sys.executable, "-c", _INSTEAD, str(folder / "in"), str(folder / "instead")]
        our_run = watch(ours)
        their_run = watch(theirs)
    print(
        f"prepare {documents:,} documents: ours {our_run.seconds:.0f} s, worker "
        f"{our_run.worker_gib:.2f} GiB, driver {our_run.driver_gib:.2f} GiB; datasets "
        f"{their_run.seconds:.0f} s, {their_run.driver_gib:.2f} GiB; "
        f"{their_run.seconds / our_run.seconds:.2f} times as fast"
    )


def write_documents(folder: Path, count: int) -> None:
    """Write JSON lines in several files: title and text of made-up words; one text in 50 is
    repeated.
    """
    folder.mkdir()
    draw = random.Random(0)
    words = [draw_word(draw) for _ in range(20_000)]
    text = ""
    for number in range(_FILES):
        with open(folder / f"part-{number}.jsonl", "w") as file:
            for line in range(number, count, _FILES):
                if line % 50 or not text:
                    text = " ".join(draw.choices(words, k=draw.randint(20, 90)))
                row = {"id": f"d{line}", "title": " ".join(text.split()[:4]), "text": text}
                file.write(json.dumps(row) + "\n")


def draw_word(draw: random.Random) -> str:
    syllables = range(draw.randint(1, 4))
    return "".join(draw.choice("bcdfglmnprst") + draw.choice("aeiou") for _ in syllables)


class Watched(NamedTuple):
    """What a command took: its time, and peaks of resident memory of the process itself and of its
    largest worker.
    """

    seconds: float
    driver_gib: float
    worker_gib: float


def watch(command: list[str]) -> Watched:
    """Run a command and watch its processes."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    itself = psutil.Process(process.pid)
    own = 0
    largest = 0
    while process.poll() is None:
        own = max(own, resident(itself))
        workers = [resident(child) for child in children(itself) if is_worker(child)]
        largest = max([largest, *workers])
        time.sleep(0.25)
    if process.returncode:
        raise SystemExit(f"{command[1:3]} failed with exit status {process.returncode}")
    return Watched(time.perf_counter() - start, own / 2**30, largest / 2**30)


def children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def is_worker(process: psutil.Process) -> bool:
    try:
        return "ray::" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


if __name__ == "__main__":
    main()
