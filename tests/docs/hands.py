"""Runs what the docs say, command by command, in one process and on one Ray, and keeps what came of
it.
"""

import contextlib
import logging
import os
import re
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

import numpy as np

from benchmarks.serving import served
from jobs.cli import main
from tests.docs import checks
from tests.docs.checks import Fault
from tests.docs.pages import Command
from tests.docs.world import World

KEY = "a-key"
# The one server that answers all who ask; others are checked and not started.
_SERVER = r"medembed serve .* table=workspace/tables$"


@dataclass(frozen=True)
class Typed:
    """A command and what came of it; `fault` is empty where all went well."""

    command: Command
    text: str
    fault: str
    output: str


Hand = Callable[[World, str], None]


def type_all(world: World, commands: Sequence[Command]) -> Iterator[Typed]:
    """Run or check each command in turn; a command that was typed before keeps its outcome."""
    typed: dict[str, Typed] = {}
    for command in sorted(commands, key=_turn):
        text = world.settle(command.text)
        if text not in typed:
            typed[text] = _type(world, command, text)
        yield replace(typed[text], command=command)


def _turn(command: Command) -> int:
    """Return when a command is typed: what asks a server last, what starts it right before."""
    if re.match(_SERVER, command.text):
        return 1
    return 2 if re.search(r"localhost:8000|serving\.address=http", command.text) else 0


def type_bad(world: World, text: str) -> Typed:
    """Runs a command that must fail."""
    return _type(world, Command("bad", 0, text), text)


def _type(world: World, command: Command, text: str) -> Typed:
    heard = world.root.parent / "heard.txt"
    fault = ""
    with listening(heard):
        try:
            for part, needed in FIRST.items():
                if part in text:
                    run_medembed(world, world.settle(f"medembed {needed}"))
            hand = _run_python if command.is_python else find_hand(command.text)
            hand(world, text)
        except (Exception, SystemExit) as error:
            fault = f"{type(error).__name__}: {error}"
            if not isinstance(error, Fault):
                traceback.print_exc()
    return Typed(command, text, fault, heard.read_text(errors="replace"))


@contextmanager
def listening(path: Path) -> Iterator[None]:
    """Send standard output, standard error and every line of the log to this file meanwhile."""
    sys.stdout.flush()
    sys.stderr.flush()
    with open(path, "w", buffering=1) as file:
        saved = os.dup(1), os.dup(2)
        handler = logging.StreamHandler(file)
        # the tests' S3, which answers in this process
        handler.addFilter(lambda record: record.name != "werkzeug")
        logging.getLogger().addHandler(handler)
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        try:
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                yield
        finally:
            logging.getLogger().removeHandler(handler)
            for number, before in enumerate(saved, start=1):
                os.dup2(before, number)
                os.close(before)


def run_medembed(world: World, text: str) -> None:
    """Run the job in this process, as the console script calls it."""
    job, *given = shlex.split(text)[1:]
    status: str | int = 0
    try:
        main([job, *given, *world.small(job, given)])
    except SystemExit as end:
        status = end.code or 0
    if status:
        raise Fault(f"exit status {status}")


def _run_cron(world: World, text: str) -> None:
    run_medembed(world, text[text.index("medembed") :])


def start_server(world: World, text: str) -> None:
    """Start the server that all other commands ask, with a cross-encoder; the world ends it."""
    given = [*shlex.split(text)[2:], f"rerank.model={world.root}/models/cross", "access_log=stderr"]
    running = world.until_the_end(served(world.root / "workspace", *given))
    world.url = running.url
    world.dashboard = running.dashboard
    world.server = running


def _run_python(world: World, text: str) -> None:
    vectors = np.eye(4, 32, dtype=np.float32)
    exec(compile(text, "docs", "exec"), {"KEY": KEY, "texts": ["heart pain"], "vectors": vectors})


def _run_curl(world: World, text: str) -> None:
    """Send the request that curl would send; its answer must be a success."""
    words = shlex.split(text.replace("$KEY", KEY))[1:]
    headers = dict(words[at + 1].split(": ") for at, word in enumerate(words) if word == "-H")
    body = words[words.index("-d") + 1].encode()
    address = next(word for word in words if word.startswith("http"))
    with urlopen(Request(address, body, headers), timeout=60) as response:
        print(response.read().decode())


def _run_shell(world: World, text: str) -> None:
    subprocess.run(["bash", "-c", text], check=True, env=os.environ | {"KEY": KEY}, timeout=60)


def _run_haproxy(world: World, text: str) -> None:
    """Check the environment that `ray start` gets; `ray start` itself is left out."""
    wanted = re.findall(r"\$\((.*?)\)", text)[0]
    binary = str(Path(sys.executable).with_name(wanted.split()[0]))
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a short path, as the page says
        command = [binary, *wanted.split()[1:-1], folder]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    for line in ("export RAY_SERVE_ENABLE_HA_PROXY=1", f"export RAY_TMPDIR={folder}"):
        if line not in done.stdout:
            raise Fault(f"no line {line}")


# {part of a command: the job to run before it, because its page takes the output for granted}
FIRST = {
    "table=workspace/tables": "encode model=models:/medembed@champion data=workspace/data "
    "output=workspace/tables/{key}.lance",
    "workspace/int8.lance": "encode model=models:/medembed@champion data=workspace/data "
    "storage=int8 output=workspace/int8.lance",
    "model=models:/medembed/3": "encode model=models:/medembed/3 data=workspace/data "
    "output=workspace/tables/{key}.lance",
    "workspace/data-2": "prepare source.path='notes/*.csv' splits.previous=workspace/data "
    "output=workspace/data-2",
}


class Kind(NamedTuple):
    """Lines that match `pattern`, what runs or checks them, and why they are only checked."""

    pattern: str
    hand: Hand
    reason: str = ""


KINDS = (
    Kind(
        r"medembed \w+ .*--address",
        checks.check_submission,
        "test_pipeline submits jobs to a cluster",
    ),
    Kind(r"medembed retrain .*watch=true", checks.check_config, "it looks until it is interrupted"),
    Kind(
        r"medembed (finetune|preflight|train|distill|retrain) jobs/\w+\.yaml( (source|serving)\S+)*$",
        checks.check_config,
        "a page runs the same job",
    ),
    Kind(
        r"medembed (quantize|\w+ .*precision=int8)",
        checks.check_config,
        "not every CPU has the instructions; tests/quantization runs it",
    ),
    Kind(_SERVER, start_server),
    Kind(
        r"(medembed serve|serve run serve\.app:build) ",
        checks.check_server,
        "one server answers all who ask",
    ),
    Kind(r"serve deploy \S+\.yaml", checks.check_deployment, "likewise"),
    Kind(r"medembed \w+", run_medembed),
    Kind(r"(\d+ \S+ \S+ \S+ \d+)  medembed ", _run_cron),
    Kind(r"curl ", _run_curl),
    Kind(r"(printf|echo) ", _run_shell),
    Kind(r'eval "\$\(medembed-haproxy environment', _run_haproxy),
    Kind(r"make \w+", checks.check_make, "it is what sets these tests up"),
    Kind(r"python -m benchmarks\.\w+", checks.check_benchmark, "it takes minutes to hours"),
    Kind(r"ray (up|dashboard) cluster.yaml", checks.check_cluster, "it needs a cloud"),
    Kind(
        r"ray job submit .* python -m jobs\.\w+",
        checks.check_module,
        "test_pipeline runs it on a cluster",
    ),
    Kind(r"prometheus --config\.file=", checks.check_file, "it is no Python package"),
    Kind(r"pip install 'medembed\[\w+\]'", checks.check_extra, "it needs a network"),
    Kind(
        r"(\. \.venv/bin/activate|(umask 077; )?export \w+=\S+( \w+=\S+)*|umask 077)$",
        checks.no_check,
        "it is the shell's own",
    ),
    Kind(
        r"(umask 077 && )?ray get-auth-token --generate|mkdir -p ~/medembed-ray$|ray start --head$",
        checks.no_check,
        "it changes the machine",
    ),
)


def find_hand(text: str) -> Hand:
    """Return what runs or checks a command. Raises Fault for a line of an unknown kind."""
    for kind in KINDS:
        if re.match(kind.pattern, text):
            return kind.hand
    raise Fault("no kind in tests/docs/hands.py matches; mark a block of output as ```text")
