"""Collects the commands and snippets that the docs and config files tell people to type."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# Pages in the order in which one follows them: a page uses what those before it have made. Others
# come after these.
ORDER = (
    "README",
    "data",
    "mining",
    "training",
    "evaluation",
    "tables",
    "search",
    "tuning",
    "retraining",
    "serving",
)
# The French pages come last, as they make another champion.
FRENCH = ("premiere-heure", "donnees", "service", "README.fr")
COMMANDS = "sh"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: where its first line is, its language, its text."""

    page: str
    line: int
    language: str
    text: str

    def name(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A line to type, with continued lines and without its comment; or a snippet of Python."""

    page: str
    line: int
    text: str
    is_python: bool = False

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {self.text.splitlines()[0]}"


def pages() -> list[Path]:
    """Return README and the pages of docs/, in reading order; those in French last."""
    names = [*ROOT.glob("README*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
    return sorted(names, key=_place)


def _place(path: Path) -> int:
    if path.stem in FRENCH:
        return len(ORDER) + 1 + FRENCH.index(path.stem)
    return ORDER.index(path.stem) if path.stem in ORDER else len(ORDER)


def blocks() -> Iterator[Block]:
    """Yield every fenced block of every page; one without a language has commands."""
    for path in pages():
        opened: tuple[int, str] | None = None
        lines: list[str] = []
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if not line.startswith("```"):
                lines.append(line)
            elif opened is None:
                opened = (number + 1, line[3:].strip() or COMMANDS)
                lines = []
            else:
                yield Block(str(path.relative_to(ROOT)), *opened, "\n".join(lines))
                opened = None
        assert opened is None, f"{path}: a block is not closed"


def commands() -> list[Command]:
    """Return every command and snippet of every page, then those in the comments of jobs/*.yaml."""
    listed: list[Command] = []
    for block in blocks():
        if block.language == COMMANDS:
            listed += _commands_of(block)
        elif block.language == "python":
            listed.append(Command(block.page, block.line, block.text, is_python=True))
    for path in sorted((ROOT / "jobs").glob("*.yaml")):
        page = str(path.relative_to(ROOT))
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            comment = line.partition("#")[2]
            for text in re.findall(r"\bmedembed \w[^;,]*", comment):
                listed.append(Command(page, number, text))
    return listed


def inline_code() -> Iterator[Command]:
    """Yield every piece of code in a sentence or in a comment of a config file."""
    configs = [
        ROOT / "cluster.yaml",
        ROOT / "serve/config.yaml",
        *sorted((ROOT / "jobs").glob("*.yaml")),
    ]
    for path in [*pages(), ROOT / "benchmarks/README.md", *configs]:
        text = re.sub(
            r"^```.*?^```$",
            lambda match: "\n" * match[0].count("\n"),
            path.read_text(),
            flags=re.M | re.S,
        )
        for match in re.finditer(r"`([^`]+)`", text):
            line = text.count("\n", 0, match.start()) + 1
            yield Command(str(path.relative_to(ROOT)), line, " ".join(match[1].split()))


def _commands_of(block: Block) -> Iterator[Command]:
    start = 0
    text = ""
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        if not text:
            start = number
        text += re.sub(r"(^|\s+)#\s.*$", "", line).strip()
        if text.endswith("\\"):
            text = text[:-1]
        elif text:
            yield Command(block.page, start, text)
            text = ""
    assert not text, f"{block.page}:{start}: the last line of the block goes on"
