"""What the docs tell people to type: commands and snippets, collected from the pages and config
files themselves.
"""

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
    """A line to type, continued lines joined and without its comment; or a whole snippet of
    Python.
    """

    page: str
    line: int
    text: str
    is_python: bool = False

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {self.text.splitlines()[0]}"


def pages() -> list[Path]:
    """README and the pages of docs/, in reading order."""
    names = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    places = {name: number for number, name in enumerate(ORDER)}
    return sorted(names, key=lambda path: places.get(path.stem, len(ORDER)))


def blocks() -> Iterator[Block]:
    """Every fenced block of every page. A block without a language holds commands."""
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
    """Every command and snippet of every page, then the commands that the comments of jobs/*.yaml
    name.
    """
    told: list[Command] = []
    for block in blocks():
        if block.language == COMMANDS:
            told += _commands_of(block)
        elif block.language == "python":
            told.append(Command(block.page, block.line, block.text, is_python=True))
    for path in sorted((ROOT / "jobs").glob("*.yaml")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            page = str(path.relative_to(ROOT))
            told += [
                Command(page, number, text)
                for text in re.findall(r"\bmedembed \w[^;,]*", line.partition("#")[2])
            ]
    return told


def inline_code() -> Iterator[Command]:
    """Every piece of code inside a sentence, and those in comments of config files."""
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
    start, text = 0, ""
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        start, text = (start, text) if text else (number, "")
        text += re.sub(r"(^|\s+)#\s.*$", "", line).strip()
        if text.endswith("\\"):
            text = text[:-1]
        elif text:
            yield Command(block.page, start, text)
            text = ""
    assert not text, f"{block.page}:{start}: the last line of the block goes on"
