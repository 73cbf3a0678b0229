"""`medembed encode` of many short texts, then again unchanged, then with 1% of them changed.

Prints seconds of each run and the share of the full time; draws the memory of driver, workers and
object store over the first run. Exits with 1 if the update of up to 100,000 texts takes more than
2% of the full time and half a minute, or if memory grows: by more than 0.2 GiB from the first half
of the run, the start left out, to the second.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import psutil

from benchmarks.prepare import children, is_worker, resident
from tests.tiny import SIGNS, SUBJECTS, make_encoder

_PARTS = 16
_EVERY_S = 0.5
_START = 0.2  # share of the run in which processes start and caches fill
_GROWTH_GIB = 0.2


@dataclass
class Memory:
    """Seconds since the start, and GiB of the driver, of the largest worker, of the object
    store.
    """

    seconds: list[float] = field(default_factory=list)
    driver: list[float] = field(default_factory=list)
    worker: list[float] = field(default_factory=list)
    objects: list[float] = field(default_factory=list)

    def growth(self) -> dict[str, float]:
        """GiB by which each one's peak in the second half is above that in the first, its start
        left out.
        """
        start, middle = int(len(self.seconds) * _START), len(self.seconds) // 2
        return {
            name: max(values[middle:]) - max(values[start:middle])
            for name, values in (
                ("driver", self.driver),
                ("worker", self.worker),
                ("object store", self.objects),
            )
        }


@click.command()
@click.option("--documents", default=1_000_000, show_default=True)
@click.option("--model", default="", help="else a tiny one, of 32 dimensions")
@click.option("--workers", default=2, show_default=True)
@click.option("--plot", default="encode-memory.png", show_default=True)
def main(documents: int, model: str, workers: int, plot: str) -> None:
    """Encodes three times."""
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
        model = model or str(make_encoder(Path(scratch) / "tiny"))
        command = [
            sys.executable,
            "-m",
            "jobs.encode",
            f"model={model}",
            f"data={scratch}/texts",
            f"output={scratch}/table.lance",
            f"encoding.workers={workers}",
        ]
        write_texts(Path(scratch) / "texts", documents, changed=0)
        full, memory, counts = run(command, Path(scratch))
        print(
            (
                f"{documents:,} texts: {full:.0f} s, {documents / full:,.0f} a second; "
                f"{describe(memory)}"
            ),
            flush=True,
        )
        draw(memory, plot, documents)
        unchanged, _, again = run(command, Path(scratch))
        print(f"unchanged: {unchanged:.0f} s, {again}", flush=True)
        write_texts(Path(scratch) / "texts", documents, changed=documents // 100)
        update, _, changed = run(command, Path(scratch))
        print(
            f"1% changed: {update:.0f} s, {update / full:.1%} of the full time, {changed}",
            flush=True,
        )
    grown = {name: gain for name, gain in memory.growth().items() if gain > _GROWTH_GIB}
    print(f"memory grows: {grown}" if grown else "memory is flat")
    sys.exit(
        bool(grown)
        or (documents <= 100_000 and update > 0.02 * full + 30)
        or counts["encoded"] != documents
    )


def write_texts(folder: Path, documents: int, changed: int) -> None:
    """JSON lines with ids and made-up texts, of which some, evenly spaced, are others than without
    `changed`.
    """
    folder.mkdir(exist_ok=True)
    step = documents // changed if changed else documents + 1
    for part in range(_PARTS):
        with open(folder / f"part-{part:02}.jsonl", "w") as file:
            for number in range(documents * part // _PARTS, documents * (part + 1) // _PARTS):
                text = f"{SIGNS[number % 10]} of the {SUBJECTS[number % 12]}, grade {number}"
                text += ", mended" if number % step == step - 1 else ""
                file.write(json.dumps({"id": f"d{number}", "text": text}) + "\n")


def run(command: list[str], scratch: Path) -> tuple[float, Memory, dict[str, int]]:
    """(seconds, memory, the counts of the summary) of `medembed encode`."""
    start, memory = time.perf_counter(), Memory()
    objects = psutil.disk_usage("/dev/shm").used
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    itself = psutil.Process(process.pid)
    while process.poll() is None:
        memory.seconds.append(time.perf_counter() - start)
        memory.driver.append(resident(itself) / 2**30)
        memory.worker.append(
            max([0, *(resident(each) for each in children(itself) if is_worker(each))]) / 2**30
        )
        memory.objects.append(max(psutil.disk_usage("/dev/shm").used - objects, 0) / 2**30)
        time.sleep(_EVERY_S)
    if process.returncode:
        raise SystemExit(f"{command[1:3]} failed with exit status {process.returncode}")
    return (
        time.perf_counter() - start,
        memory,
        json.loads((scratch / "table.lance/summary.json").read_text())["counts"],
    )


def describe(memory: Memory) -> str:
    peaks = [
        f"{name} {max(values):.2f} GiB"
        for name, values in (
            ("driver", memory.driver),
            ("worker", memory.worker),
            ("object store", memory.objects),
        )
    ]
    return "peaks: " + ", ".join(peaks)


def draw(memory: Memory, path: str, documents: int) -> None:
    """Memory over time, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in (
        ("driver", memory.driver),
        ("largest worker", memory.worker),
        ("objects", memory.objects),
    ):
        axes.plot(np.array(memory.seconds), values, label=name)
    axes.set(
        title=f"medembed encode, {documents:,} short texts", xlabel="seconds", ylabel="GiB resident"
    )
    axes.set_ylim(0)
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
