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
import psutil

from benchmarks.prepare import children, is_worker, resident
from tests.tiny import SIGNS, SUBJECTS, make_encoder

_PARTS = 16
_EVERY_S = 0.5
_START = 0.2  # share of the run in which processes start and caches fill
_GROWTH_GIB = 0.2


@dataclass
class Run:
    """What one `medembed encode` took: its time, its counts, and GiB over the seconds since its
    start of the driver, of the largest worker, and of the object store.
    """

    total_s: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    gib: dict[str, list[float]] = field(
        default_factory=lambda: {"driver": [], "largest worker": [], "object store": []}
    )

    def growth(self) -> dict[str, float]:
        """Return by how much each one's peak in the second half of the run is above that in the
        first, its start left out.
        """
        start = int(len(self.seconds) * _START)
        middle = len(self.seconds) // 2
        return {name: max(gib[middle:]) - max(gib[start:middle]) for name, gib in self.gib.items()}

    def peaks(self) -> str:
        return ", ".join(f"{name} {max(gib):.2f} GiB" for name, gib in self.gib.items())


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
        full = run(command, Path(scratch))
        rate = documents / full.total_s
        print(f"{documents:,} texts: {full.total_s:.0f} s, {rate:,.0f} a second", flush=True)
        print(f"peaks: {full.peaks()}", flush=True)
        draw(full, plot, documents)
        unchanged = run(command, Path(scratch))
        print(f"unchanged: {unchanged.total_s:.0f} s, {unchanged.counts}", flush=True)
        write_texts(Path(scratch) / "texts", documents, changed=documents // 100)
        update = run(command, Path(scratch))
        share = update.total_s / full.total_s
        print(f"1% changed: {update.total_s:.0f} s, {share:.1%} of the full time, {update.counts}")
    grown = {name: gain for name, gain in full.growth().items() if gain > _GROWTH_GIB}
    print(f"memory grows: {grown}" if grown else "memory is flat")
    is_slow = documents <= 100_000 and update.total_s > 0.02 * full.total_s + 30
    sys.exit(bool(grown) or is_slow or full.counts["encoded"] != documents)


def write_texts(folder: Path, documents: int, changed: int) -> None:
    """Write JSON lines with ids and made-up texts; `changed` of them, evenly spaced, are new."""
    folder.mkdir(exist_ok=True)
    step = documents // changed if changed else documents + 1
    for number_of_part in range(_PARTS):
        with open(folder / f"part-{number_of_part:02}.jsonl", "w") as file:
            start = documents * number_of_part // _PARTS
            for number in range(start, documents * (number_of_part + 1) // _PARTS):
                text = f"{SIGNS[number % 10]} of the {SUBJECTS[number % 12]}, grade {number}"
                text += ", mended" if number % step == step - 1 else ""
                file.write(json.dumps({"id": f"d{number}", "text": text}) + "\n")


def run(command: list[str], scratch: Path) -> Run:
    """Run `medembed encode` and watch its memory."""
    result = Run()
    start = time.perf_counter()
    objects = psutil.disk_usage("/dev/shm").used
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    itself = psutil.Process(process.pid)
    while process.poll() is None:
        workers = [resident(child) for child in children(itself) if is_worker(child)]
        used = psutil.disk_usage("/dev/shm").used - objects
        result.seconds.append(time.perf_counter() - start)
        result.gib["driver"].append(resident(itself) / 2**30)
        result.gib["largest worker"].append(max([0, *workers]) / 2**30)
        result.gib["object store"].append(max(used, 0) / 2**30)
        time.sleep(_EVERY_S)
    if process.returncode:
        raise SystemExit(f"{command[1:3]} failed with exit status {process.returncode}")
    result.total_s = time.perf_counter() - start
    result.counts = json.loads((scratch / "table.lance/summary.json").read_text())["counts"]
    return result


def draw(run: Run, path: str, documents: int) -> None:
    """Draw memory over time, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for name, gib in run.gib.items():
        axes.plot(run.seconds, gib, label=name)
    axes.set(
        title=f"medembed encode, {documents:,} short texts", xlabel="seconds", ylabel="GiB resident"
    )
    axes.set_ylim(0)
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
