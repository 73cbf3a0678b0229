"""Search the learning rate, the weight of each dimension and other settings within a budget of
trials or hours.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from jobs.beforehand import check_room
from jobs.language import JobConfig, use_language_of
from jobs.ray_session import SPARE_CPUS
from jobs.session import Summary, is_on_cluster, run_job
from medembed import storage
from medembed.config import InputUri
from medembed.data.dataset import open_dataset
from medembed.errors import MedEmbedError
from medembed.language import tr
from medembed.registry.config import command
from medembed.registry.models import open_registry
from medembed.registry.resolve import resolve_models
from medembed.training.run.enough import check_settings
from medembed.tuning.config import TuneConfig
from medembed.tuning.screen import describe_search, summarize
from medembed.tuning.tune import CONFIG, read_config, tune
from medembed.uris import map_uris


class TuneJob(JobConfig, TuneConfig):
    """Config of `medembed tune`."""

    resume: InputUri | None = Field(
        default=None,
        description="output of a search that was interrupted, or is to have more trials: its "
        "config counts, with what you give besides; trials that are over are not repeated",
    )

    @model_validator(mode="after")
    def _check_resume(self) -> Self:
        if self.resume and storage.absolute(self.resume) != storage.absolute(self.output):
            raise ValueError(
                tr(
                    "resume: found {resume!r}, but output {output!r}; a search goes on where it "
                    "lies, without output and given on the command line: {command}",
                    resume=self.resume,
                    output=self.output,
                    command=command(self.registry, "tune", f"resume={self.resume}"),
                )
            )
        return self


def run(job: TuneJob) -> Summary:
    check_room(job.encoding)
    job = _with_absolute_places(job)
    registry = open_registry(job.registry, on_cluster=is_on_cluster())
    registry.check_output(job.output)
    resolved = resolve_models(job, job.registry, on_cluster=is_on_cluster())
    check_settings(resolved.training, resolved.mining, job.output)
    spare = 0 if os.environ.get("RAY_ADDRESS") else SPARE_CPUS
    named = resolved.model_copy(update={"model": job.model})  # as its results name it
    tuned = tune(named, open_dataset(job.data), resolved.model, registry, spare)
    return {"output": job.output, **summarize(tuned), "lines": describe_search(job, tuned)}


def _with_absolute_places(job: TuneJob) -> TuneJob:
    """Return the config as `resume` finds it from any folder."""
    workspace = storage.absolute(job.registry.workspace)
    registry = job.registry.model_copy(update={"workspace": workspace})
    return map_uris(job, storage.absolute).model_copy(update={"registry": registry})


def main(argv: Sequence[str] | None = None) -> None:
    with _resumed(sys.argv[1:] if argv is None else list(argv)) as arguments:
        run_job(TuneJob, run, arguments)


@contextmanager
def _resumed(given: list[str]) -> Iterator[list[str]]:
    """Yield the arguments, behind the config of the search that `resume` names."""
    use_language_of(given)
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
            sys.exit(tr("error: {error}", error=error))
        yield [str(file), f"output={resume}", *given]


if __name__ == "__main__":
    main()
