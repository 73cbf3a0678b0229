"""The command `medembed`: list the jobs, run one here or on a cluster."""

import ast
import importlib
from collections.abc import Sequence
from pathlib import Path

import click

from jobs.language import JobConfig
from jobs.submit import submit_job
from medembed.config import list_keys
from medembed.errors import MedEmbedError
from medembed.language import to_translate, tr

JOBS = (
    "demo",
    "finetune",
    "prepare",
    "preflight",
    "encode",
    "table",
    "search",
    "mine",
    "train",
    "tune",
    "distill",
    "evaluate",
    "quantize",
    "retrain",
    "promote",
    "rollback",
    "models",
    "lineage",
    "backup",
    "restore",
    "erase",
    "prune",
    "serve",
)
_ABOUT = to_translate(
    "Turn medical texts into a Matryoshka embedding model, keep it fresh, serve it.\n\n"
    "Jobs run on a private local Ray, or on the cluster in RAY_ADDRESS, or are submitted with "
    "--address. Each takes a YAML file and key=value overrides; `medembed JOB --help` lists its "
    "keys."
)


class Jobs(click.Group):
    """Commands are the modules of `jobs/`; only the one that is asked for is imported."""

    def get_help(self, context: click.Context) -> str:
        self.help = tr(_ABOUT)
        return super().get_help(context)

    def list_commands(self, context: click.Context) -> list[str]:
        return list(JOBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in JOBS:
            return None
        metavar = "[CONFIG.yaml] [KEY=VALUE ...]"
        params: list[click.Parameter] = [
            click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED, metavar=metavar)
        ]
        if name != "demo":  # the demo is for the machine that you sit at
            text = tr("Submit to the Ray cluster whose dashboard is here, e.g. http://head:8265.")
            params.append(click.Option(["--address"], metavar="URL", help=text))

        def run(arguments: Sequence[str], address: str | None = None) -> None:
            _run(name, arguments, address)

        text = tr(describe(name))  # as short help too, which click would cut at one line
        return JobCommand(name, params=params, callback=run, help=text, short_help=text)


class JobCommand(click.Command):
    """A command whose --help lists every config key."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        assert self.name is not None
        rows: list[tuple[str, str]] = []
        for key in list_keys(job_config(self.name)):
            rows.append((key.name, f"{key.description} [{key.type}; default: {key.default}]"))
        with formatter.section("Keys"):
            formatter.write_dl(rows, col_max=32)


@click.command(
    cls=Jobs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
def main() -> None:
    """Run a job, or show help."""


def describe(name: str) -> str:
    """Return the first sentence of a job's docstring, without importing it."""
    source = Path(__file__).with_name(f"{name}.py").read_text()
    summary, _, _ = (ast.get_docstring(ast.parse(source)) or "").partition("\n\n")
    return " ".join(summary.split())


def job_config(name: str) -> type[JobConfig]:
    """Return the config class of a job: <Name>Job in its module."""
    module = importlib.import_module(f"jobs.{name}")
    config: type[JobConfig] = getattr(module, f"{name.capitalize()}Job")
    return config


def _run(name: str, arguments: Sequence[str], address: str | None) -> None:
    if address is None:
        importlib.import_module(f"jobs.{name}").main(list(arguments))
        return
    try:
        raise SystemExit(submit_job(name, arguments, job_config(name), address))
    except MedEmbedError as error:
        click.echo(tr("error: {error}", error=error), err=True)
        raise SystemExit(2) from None
