"""Search the learning rate, the weight of each dimension and other settings within a budget of
trials or hours.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field

from jobs.beforehand import check_room
from jobs.ray_session import SPARE_CPUS
from jobs.session import Summary, is_on_cluster, run_job
from jobs.train import resolve_guide
from medembed import storage
from medembed.config import InputUri
from medembed.data.dataset import open_dataset
from medembed.errors import ConfigError, MedEmbedError
from medembed.evaluation.retention.words import format_retention
from medembed.mining.second_opinion import resolve_second_opinion
from medembed.registry.config import RegistryConfig, command
from medembed.registry.models import open_registry, resolve_model
from medembed.training.run.enough import check_settings
from medembed.tuning.config import TuneConfig
from medembed.tuning.outcome import Tuned
from medembed.tuning.trials import describe
from medembed.tuning.tune import CONFIG, read_config, tune
from medembed.uris import map_uris


class TuneJob(TuneConfig):
    """Config of `medembed tune`."""

    resume: InputUri | None = Field(
        default=None,
        description="output of a search that was interrupted, or is to have more trials: its "
        "config counts, with what you give besides; trials that are over are not repeated",
    )


def run(job: TuneJob) -> Summary:
    if job.resume and storage.absolute(job.resume) != storage.absolute(job.output):
        raise ConfigError(
            f"resume: found {job.resume!r}, but output {job.output!r}; a search goes on where it "
            "lies, without output and given on the command line: "
            f"{command(job.registry, 'tune', f'resume={job.resume}')}"
        )
    check_room(job.encoding)
    job = map_uris(job, storage.absolute)  # so that `resume` finds them from any folder
    workspace = storage.absolute(job.registry.workspace)
    job = job.model_copy(
        update={"registry": job.registry.model_copy(update={"workspace": workspace})}
    )
    registry = open_registry(job.registry, on_cluster=is_on_cluster())
    registry.check_output(job.output)
    resolved = {
        "mining": resolve_second_opinion(job.mining, job.registry, on_cluster=is_on_cluster()),
        "training": resolve_guide(job.training, job.registry),
    }
    model = resolve_model(job.model, job.registry, on_cluster=is_on_cluster())
    job = job.model_copy(update=resolved)
    check_settings(job.training, job.mining, job.output)
    spare = 0 if os.environ.get("RAY_ADDRESS") else SPARE_CPUS
    tuned = tune(job, open_dataset(storage.absolute(job.data)), model, registry, spare)
    return {
        "output": storage.absolute(job.output),
        **_summarize(tuned),
        "lines": _lines(job, tuned),
    }


def _summarize(tuned: Tuned) -> Summary:
    best = tuned.best
    trials = []
    for record in tuned.records:
        score = record.score if record.course else None
        trials.append(
            {
                "trial": record.number,
                "state": record.state,
                "score": score,
                "seconds": record.seconds,
            }
        )
    return {
        "best": {"trial": best.number, "score": best.score, "settings": best.point},
        "trials": trials,
        "model": tuned.version.reference,
        "retention": tuned.retention and tuned.retention.numbers,
        "report": tuned.report,
        "config": tuned.best_config,
        "seconds": {name: round(spent, 1) for name, spent in tuned.seconds.items()},
    }


def _lines(job: TuneJob, tuned: Tuned) -> list[str]:
    best = tuned.best
    states = [record.state for record in tuned.records]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    gain = ""
    for record in tuned.records:
        if record.number == 0 and record.state == "complete" and record != best:
            gain = f", {best.score - record.score:+.4f} to the default"
    settings = []
    for key, value in best.point.items():
        shown = f"{value:.4g}" if isinstance(value, float) else value
        settings.append(f"         {key} = {shown}")
    model = tuned.version.reference
    evaluation = storage.join(storage.absolute(job.output), "evaluation")
    test = (f"model={model}", f"data={job.data}", f"output={evaluation}")
    return [
        *format_retention(tuned.retention),
        f"trials:  {len(states)}: {counts}",
        f"best:    trial {best.number}: {describe(best, tuned.examples)}{gain}",
        *settings,
        f"train:   {command(RegistryConfig(), 'train', tuned.best_config)}",
        f"model:   {model}; compare on test: {command(job.registry, 'evaluate', *test)}",
        f"report:  {tuned.report}",
    ]


def main(argv: Sequence[str] | None = None) -> None:
    with _resumed(sys.argv[1:] if argv is None else list(argv)) as arguments:
        run_job(TuneJob, run, arguments)


@contextmanager
def _resumed(given: list[str]) -> Iterator[list[str]]:
    """The arguments, with the config of the search that `resume` names in front, wherever it lies
    by now.
    """
    named = [argument for argument in given if argument.startswith("resume=")]
    resume = named[0].removeprefix("resume=") if named else ""
    if not resume:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / CONFIG
        try:
            file.write_bytes(read_config(resume))
        except MedEmbedError as error:
            sys.exit(f"error: {error}")
        yield [str(file), f"output={resume}", *given]


if __name__ == "__main__":
    main()
