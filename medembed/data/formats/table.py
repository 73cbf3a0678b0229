"""The formats of sources. A new one is a file in this folder, its name and its entry here."""

from typing import Literal

from medembed.data.formats.beir import BEIR
from medembed.data.formats.delimited import CSV, TSV
from medembed.data.formats.files import ending
from medembed.data.formats.format import Format, Part
from medembed.data.formats.huggingface import HUGGINGFACE
from medembed.data.formats.jsonl import JSONL
from medembed.data.formats.ontology import ONTOLOGY
from medembed.data.formats.parquet import PARQUET
from medembed.data.formats.previous import PREVIOUS
from medembed.data.formats.text import TEXT

# What `source.format` may be, as pydantic and --help need it: "auto", and the formats below.
FormatName = Literal[
    "auto", "jsonl", "csv", "tsv", "parquet", "huggingface", "beir", "ontology", "text"
]
_ALL = (JSONL, CSV, TSV, PARQUET, HUGGINGFACE, BEIR, ONTOLOGY, TEXT)
FORMATS = {form.name: form for form in _ALL}


def format_of(part: Part) -> Format:
    """Return the format that a part is read in."""
    return PREVIOUS if part.format == PREVIOUS.name else FORMATS[part.format]


def format_of_file(uri: str) -> Format | None:
    """Return the format that a file's name tells, None if it tells none."""
    return next((form for form in FORMATS.values() if ending(uri) in form.endings), None)
