"""Every command of the docs does what they say, and nothing that it leaves behind has a row's text."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.alone import alone
from tests.docs.hands import Typed, type_all
from tests.docs.pages import commands
from tests.docs.world import make_world

pytestmark = pytest.mark.ray
COMMANDS = commands()


@pytest.fixture(scope="module")
def typed(
    encoder_folder: Path,
    empty_registry: Path,
    s3_environment: dict[str, str],
    ray_local: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Typed]]:
    """All commands, in one place and in reading order."""
    with pytest.MonkeyPatch.context() as patch, alone():
        for name, value in s3_environment.items():
            patch.setenv(name, value)
        patch.setattr("jobs.session.ray_session", lambda _: contextlib.nullcontext())
        patch.setattr("jobs.session._exit_on_sigterm", lambda: None)
        patch.setattr("jobs.session.atexit.register", lambda _: None)
        world = make_world(tmp_path_factory.mktemp("docs"), encoder_folder, empty_registry)
        patch.chdir(world.root)
        outcome = {}
        for one in type_all(world, COMMANDS):
            outcome[str(one.command)] = one
            if os.environ.get("DOCS_TIMES"):
                with open(os.environ["DOCS_TIMES"], "a") as f:
                    f.write(f"{one.seconds:6.1f} {one.command} {one.fault}\n")
                    if one.fault: f.write("        " + one.text + "\n        " + "\n        ".join(one.output.splitlines()[-12:]) + "\n")
        yield outcome


@pytest.mark.parametrize("name", [str(command) for command in COMMANDS])
def test_each_command_of_the_docs_runs_as_printed(name: str, typed: dict[str, Typed]):
    outcome = typed[name]
    assert not outcome.fault, f"{outcome.text}\n{outcome.fault}\n{outcome.output[-2000:]}"
