"""The messages of the code, and the French catalogue: `python -m tests.messages` brings it up to
date, with an empty translation for each new message, and compiles it.
"""

import ast
import io
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from jinja2 import Environment

from jobs.cli import JOBS, describe
from medembed import errors
from medembed.language import CATALOGUES

ROOT = Path(__file__).parent.parent
PO = CATALOGUES / "fr" / "LC_MESSAGES" / "medembed.po"
FOLDERS = ("medembed", "jobs", "serve")
ERRORS = {name for name, value in vars(errors).items() if isinstance(value, type)}
HEADER = b"""\
# Messages of MedEmbed in French. English is the key; after a change: python -m tests.messages
msgid ""
msgstr ""
"Language: fr\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: nplurals=2; plural=(n > 1);\\n"

"""
MARKS = {"tr", "to_translate"}  # beside "tr_count", which has two
Message = str | tuple[str, str]  # a text, or (singular, plural)


def called(node: ast.Call) -> str:
    """Return the last name of what a call calls: "tr" of tr(...), "DataError" of a raise."""
    return getattr(node.func, "id", None) or getattr(node.func, "attr", "")


def sources() -> list[Path]:
    """Return the files whose messages a user reads."""
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def extract() -> dict[Message, list[tuple[str, int]]]:
    """Return {message: the places where it stands}, of the code, of the jobs and of the report."""
    messages: dict[Message, list[tuple[str, int]]] = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            message = message_of(node) if isinstance(node, ast.Call) else None
            if message:
                place = (str(path.relative_to(ROOT)), node.lineno)
                messages.setdefault(message, []).append(place)
    for name in JOBS:
        messages.setdefault(describe(name), []).append((f"jobs/{name}.py", 1))
    environment = Environment(extensions=["jinja2.ext.i18n"])
    for path in sorted(ROOT.glob("medembed/**/*.jinja")):
        for line, _, message in environment.extract_translations(path.read_text()):
            texts = tuple(filter(None, parts(message)))  # None stands for each value
            if texts:
                key = texts if len(texts) > 1 else texts[0]
                messages.setdefault(key, []).append((str(path.relative_to(ROOT)), line))
    return messages


def message_of(call: ast.Call) -> Message | None:
    """Return the message that a call writes, None if it writes none of its own."""
    name = called(call)
    literals = [node.value for node in call.args if isinstance(node, ast.Constant)]
    if name == "tr_count":
        return literals[0], literals[1]
    if name in MARKS | ERRORS:
        return literals[0] if literals else None
    return None


def read_catalogue() -> Catalog:
    with PO.open("rb") as file:
        return read_po(file, locale="fr")


def main() -> None:
    template = Catalog()
    for message, places in extract().items():
        template.add(message, locations=[(path, 0) for path, _ in places])
    catalogue = read_catalogue()
    catalogue.update(template, no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    text = io.BytesIO()
    write_po(text, catalogue, width=100, omit_header=True, include_lineno=False, sort_output=True)
    PO.write_bytes(HEADER + text.getvalue())
    with PO.with_suffix(".mo").open("wb") as file:
        write_mo(file, read_catalogue())
    empty = sum(not all(parts(message.string)) for message in catalogue if message.id)
    print(f"{PO}: {len(catalogue):,} messages, {empty:,} without a translation")


def parts(text: Any) -> tuple[str, ...]:
    """Return a message's texts: one, or singular and plural."""
    return tuple(text) if isinstance(text, list | tuple) else (text or "",)


if __name__ == "__main__":
    main()
