"""A job writes in the language of its key, else of the environment, in workers too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.cli import JOBS, job_config
from jobs.language import JobConfig, load_job
from jobs.retrain import RetrainJob
from medembed.config import list_keys
from medembed.errors import ConfigError
from medembed.language import current_language, use_language

ROOT = Path(__file__).parents[2]
FRENCH = "erreur : output : manque ; indiquez output=... (--help liste toutes les clés)"
ENGLISH = "error: output: missing; give output=... (--help lists all keys)"
FAILS_IN_A_WORKER = """
from jobs.language import JobConfig
from jobs.session import run_job
from medembed.errors import DataError

def fail():
    raise DataError("{uri}: no such folder.", uri="landing")

def body(job):
    import ray  # not earlier: a private Ray sets what it reads when it is imported

    try:
        ray.get(ray.remote(fail).remote())
    except ray.exceptions.RayTaskError as error:
        raise error.cause

run_job(JobConfig, body, ["language=fr"], ray="private")
"""


def say(command: list[str], **environment: str) -> str:
    """Return what a process writes to standard error, without the spaces that do not break."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    return done.stderr.replace("\N{NO-BREAK SPACE}", " ").strip()


@pytest.mark.parametrize(
    ("given", "lang", "error"),
    [
        ("", "fr_FR.UTF-8", FRENCH),
        ("", "C.UTF-8", ENGLISH),
        ("language=fr", "C.UTF-8", FRENCH),
        ("language=en", "fr_FR.UTF-8", ENGLISH),
        ("job.yaml", "C.UTF-8", FRENCH),
    ],
)
def test_a_config_error_is_in_the_language_of_the_key_else_of_the_environment(
    given: str, lang: str, error: str, tmp_path: Path
):
    (tmp_path / "job.yaml").write_text("language: fr")
    first = [given.replace("job.yaml", f"{tmp_path}/job.yaml")] if given else []
    assert say(["-m", "jobs.prepare", *first, "source.path=p.csv"], LANG=lang) == error


def test_an_error_of_a_worker_is_in_the_language_of_the_job():
    said = say(["-c", FAILS_IN_A_WORKER], LANG="C.UTF-8")
    assert said == "erreur : landing : ce dossier n'existe pas."


@pytest.mark.parametrize("name", JOBS)
def test_every_job_lists_the_language_and_no_fingerprint_has_it(name: str):
    config = job_config(name)
    assert "language" in {key.name for key in list_keys(config)}
    assert config.model_fields["language"].exclude


def test_the_language_is_not_written_with_a_config():
    assert JobConfig(language="fr").model_dump() == {}


@pytest.mark.parametrize(
    ("argument", "language", "expected"),
    [
        ("gate.reason=ok", "en", "Input should have at least 3 characters, found 'ok'"),
        ("gate.reason=ok", "fr", "la valeur doit avoir au moins 3 caractères, 'ok' trouvé"),
        ("mining=3", "fr", "des clés et leurs valeurs sont attendues, '3' trouvé"),
        ("evaluation.k=[]", "fr", "la liste doit compter au moins 1 élément(s), [] trouvé"),
        (
            "source.score_range=[1,2,3]",
            "fr",
            "la liste doit compter au plus 2 élément(s), ['1', '2', '3'] trouvé",
        ),
    ],
)
def test_what_is_wrong_with_a_value_is_said_in_the_users_language(
    argument: str, language: str, expected: str
):
    before = current_language()
    with pytest.raises(ConfigError) as raised:
        load_job(RetrainJob, [f"language={language}", "source.path=a", argument])
    use_language(before)
    assert str(raised.value).endswith(f": {expected}")
