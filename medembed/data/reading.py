"""How the rows of a source are read and become texts: what its format's reader may ask."""

import codecs
import unicodedata
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from medembed.config import Config, InputUri
from medembed.language import tr

AUTO = "auto"
Shape = Literal["auto", "pairs", "triplets", "scores", "classes", "documents", "parallel"]


def _as_tuple(value: object) -> object:
    """Return one column or several, by name or number, as a tuple of names in NFC."""
    values = value if isinstance(value, list | tuple) else [value]
    names: list[object] = []
    for item in values:
        is_number = isinstance(item, int) and not isinstance(item, bool)
        name = str(item) if is_number else item
        names.append(unicodedata.normalize("NFC", name) if isinstance(name, str) else name)
    return tuple(names)


def _as_text(value: object) -> object:
    """Return a list of paths, as a YAML file has it, as one typed on a command line."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else value


Quoting = Annotated[
    Literal["auto", "minimal", "none"],
    Field(
        description="CSV and TSV: minimal: cells with delimiters, quotes or line ends are quoted, "
        "as pandas, R and Excel write them; none: quotes are characters like any other; auto: "
        "like minimal, but stops with an error where a TSV seems not to quote its cells"
    ),
]


def _check_encoding(name: str) -> str:
    """Return the encoding's name, of UTF-8 always the same. Raises ValueError for none."""
    if name == AUTO:
        return name
    try:
        "".encode(name)
    except LookupError:
        raise ValueError(
            tr("expected auto or an encoding of text that Python knows, e.g. windows-1252")
        ) from None
    return "UTF-8" if codecs.lookup(name).name == "utf-8" else name


Encoding = Annotated[
    str,
    AfterValidator(_check_encoding),
    Field(
        description="of text files, e.g. windows-1252; auto: UTF-8 or UTF-16, and of CSV, TSV, "
        ".txt and .md Windows-1252 or Latin-9 where no line with accents is UTF-8"
    ),
]
Fields = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class ColumnsConfig(Config):
    """Which fields of a source row mean what; empty: found by the names in use across tools.

    A field inside another is named by a path ("answer.text"); of a list of sections, by heading
    ("sections.Treatment"). Several fields are joined to one text, those that a row lacks left out.
    """

    query: Fields = Field(default=(), description="fields of the query, e.g. question")
    document: Fields = Field(
        default=(), description="fields of the document, joined, e.g. [title, abstract]"
    )
    negative: Fields = Field(default=(), description="fields of documents judged not relevant")
    score: Fields = Field(default=(), description="field of the pair's similarity score")
    label: Fields = Field(default=(), description="field of the text's class")
    title: Fields = Field(
        default=(), description="field of a document's title or term; becomes a weak query"
    )
    synonyms: Fields = Field(
        default=(), description="field of other names of a document; each becomes a weak query"
    )
    parallel: Fields = Field(
        default=(),
        description="fields of texts that say the same in several languages, e.g. [fr, en]; each "
        "is a query for the others",
    )
    query_id: Fields = Field(
        default=(), description="field of the query's id; else a hash of its text"
    )
    document_id: Fields = Field(
        default=(), description="field of the document's id; else a hash of its text"
    )
    group: Fields = Field(
        default=(), description="field of a key (patient, thread) that must not straddle splits"
    )
    split: Fields = Field(default=(), description="field of your own split: train, dev or test")
    language: Fields = Field(
        default=(), description="field of the language of both texts (ISO 639-1)"
    )
    tags: Fields = Field(
        default=(), description="fields whose values tag the query, for metrics by tag"
    )

    @property
    def role_of(self) -> dict[str, str]:
        """Return {path: role} of the declared fields."""
        roles: dict[str, str] = {}
        for role, paths in self:
            roles.update(dict.fromkeys(paths, role))
        return roles


class ReadingConfig(Config):
    """All keys of a source.

    Readers take this one, and `SourceConfig` adds which formats there are: that list stands beside
    the table of formats, which imports the readers.
    """

    path: Annotated[InputUri, BeforeValidator(_as_text)] = Field(
        description="file, folder or pattern (*.jsonl), or a list of them "
        "([questions.csv,documents.csv]): a path, s3://, gs:// or package://; "
        "hf://organisation/name"
    )
    format: str = "auto"
    header: bool = Field(
        default=True,
        description="CSV and TSV: whether the first row names the columns; false: they are 1, 2, "
        "..., e.g. source.columns.query=6",
    )
    quoting: Quoting = "auto"
    encoding: Encoding = AUTO
    shape: Shape = Field(
        default="auto",
        description="pairs; triplets with a negative; pairs with similarity scores; texts with "
        "classes; documents without queries; parallel texts, each a query for the others; auto "
        "goes by the columns",
    )
    columns: ColumnsConfig = ColumnsConfig()
    join: str = Field(default=" ", description="stands between the fields that make one text")
    by_section: bool = Field(
        default=False,
        description="each Markdown heading starts a document of its own, and asks for it as a "
        "weak query",
    )
    chunk_words: int | None = Field(
        default=None,
        ge=16,
        description="cut documents into chunks of so many words; judged as whole documents",
    )
    chunk_overlap: int = Field(default=0, ge=0, description="words that neighbouring chunks share")
    score_range: tuple[float, float] = Field(
        default=(0.0, 1.0), description="lowest and highest similarity score, e.g. [0, 5]"
    )
    positive_from: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="similarity, on 0 to 1, from which a scored pair counts as a positive",
    )
    max_characters: int = Field(
        default=200_000, ge=1, description="longer texts are left out and counted"
    )
    query_language: str | None = Field(
        default=None,
        min_length=2,
        description="language of all queries (ISO 639-1); null: detected, by column where unsure",
    )
    document_language: str | None = Field(
        default=None,
        min_length=2,
        description="language of all documents; null: detected, by column where unsure",
    )
    languages: tuple[str, ...] = Field(
        default=(),
        description="languages that detection chooses from, e.g. [en, fr]; empty: any, or und if "
        "unsure",
    )
    licence: str = Field(
        default="not stated", description="licence of the texts, kept in the manifest"
    )
    validated_by: str = Field(
        default="not stated", description="who checked the texts, kept in the manifest"
    )
    subset: str | None = Field(default=None, description="Hugging Face configuration name")
    hub_split: str | None = Field(
        default=None,
        description="Hugging Face split to read; null: all, and if several, as your own splits",
    )
    skip_bad_rows: bool = Field(
        default=False, description="count and leave out malformed rows instead of stopping"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.chunk_words is not None and self.chunk_overlap >= self.chunk_words:
            raise ValueError(
                tr(
                    "chunk_overlap: found {words}, expected less than chunk_words",
                    words=self.chunk_overlap,
                )
            )
        if self.score_range[0] >= self.score_range[1]:
            raise ValueError(
                tr(
                    "score_range: found {range}, expected [lowest, highest]",
                    range=list(self.score_range),
                )
            )
        return self
