"""What smaller and faster costs: students of a teacher, beside it, in one run."""

import logging
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks.compress_students import Sources, measure_students
from jobs.ray_session import ray_session

PARTS: dict[str, Callable[[Path, Sources], None]] = {"students": measure_students}


@click.command()
@click.option("--model", help="folder of multilingual-e5-small, with its prompts")
@click.option("--icd10", help="JSON lines with code, en, fr and fr_short")
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)), default=list(PARTS))
@click.option("--threads", default=2, show_default=True, help="of a training")
@click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="what is measured stays there"
)
def main(
    model: str | None, icd10: str | None, parts: tuple[str, ...], threads: int, folder: Path
) -> None:
    """Prints a table in Markdown for each part."""
    logging.disable(logging.INFO)
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with ray_session(None):
        for part in parts:
            PARTS[part](folder, Sources(model, icd10, threads))


if __name__ == "__main__":
    main()
