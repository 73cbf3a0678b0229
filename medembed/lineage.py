"""Declare what each kind of output is and what it was made from.

`manifest.json`, the tags of registered versions and the card in a checkpoint are renderings of
these classes. A new kind of output is a class here, an entry of `KINDS` and, if versions name it, a
field of `Origin`. One whose rows are rewritten also needs a branch in `custody.erase`.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from medembed.facts import Searched, Start, TextFacts, Vocabulary
from medembed.language import to_translate
from medembed.schema import BEST, CORPUS, EXAMPLE_ROWS, EXAMPLES, HELD_OUT, QRELS, QUERIES

Columns = frozenset[str]
OnErasure = Literal["delete", "rewrite", "keep"]


@dataclass(frozen=True)
class Source:
    """What something was made from: its fingerprint, where it lay, and of a table which version.

    The fingerprint of a table is that of the encoder whose vectors it holds.
    """

    fingerprint: str
    uri: str | None = None
    version: int | None = None


@dataclass(frozen=True)
class Origin:
    """All that an output was made from; None: nothing of that kind, or nothing says so.

    `parent` is the model that training began with, `teacher` the one whose vectors it learned. The
    `dataset` of a data set is the one that it grew from.
    """

    dataset: Source | None = None
    examples: Source | None = None
    table: Source | None = None
    parent: Source | None = None
    teacher: Source | None = None

    @property
    def sources(self) -> dict[str, Source]:
        """Return {field: source} of all that is known but parent and teacher."""
        sources: dict[str, Source] = {}
        for role in ROLES:
            source = getattr(self, role)
            if source is not None:
                sources[role] = source
        return sources

    @property
    def data(self) -> list[str]:
        """Return where these sources lie, as far as that is known."""
        return [source.uri for source in self.sources.values() if source.uri]


_MODELS = ("parent", "teacher")
ROLES = tuple(entry.name for entry in fields(Origin) if entry.name not in _MODELS)


@dataclass(frozen=True)
class Erased:
    """How many rows were erased from an output, and on which day the last of them."""

    rows: int
    date: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What the manifest of any output says.

    `key` is the fingerprint of all that determined it; `fingerprint` identifies the content, where
    the key does not; `encoder` is the model whose vectors or scores it has: prune removes both
    together. `files` are the names of its files; `counts` {what: how many are in it}.

    Each kind declares:
    role: the field of `Origin` by which versions name it; None if they do not
    folder: where a backup has it; None if none has
    on_erasure: "delete" if it names documents or queries, and a job makes it again from the same
    inputs; "rewrite" if only its rows go; "keep" if it names none
    layouts: the columns of its tables, which identify one without a manifest
    patterns: the names of its files with rows
    """

    kind: ClassVar[str]
    role: ClassVar[str | None] = None
    folder: ClassVar[str | None] = None
    on_erasure: ClassVar[OnErasure] = "delete"
    layouts: ClassVar[tuple[Columns, ...]] = ()
    patterns: ClassVar[tuple[str, ...]] = ("*.parquet",)

    key: str = ""
    fingerprint: str = ""
    encoder: str | None = None
    origin: Origin = Origin()
    files: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def names(self) -> Collection[str]:
        """The names of all its files."""
        return self.files

    @property
    def identity(self) -> str:
        """The fingerprint by which what is made of it names it."""
        return self.fingerprint or self.key


@dataclass(frozen=True, kw_only=True)
class DatasetManifest(Manifest):
    """A data set: corpus, queries and judgments.

    `rows` {file: its rows} are those of corpus and queries; `dropped` {rule: rows}; `columns`
    {role: columns of the source}. Lengths are counted in `length_unit` of every `length_every`-th
    text. `taken` {content hash: name} are the landed files that it, and those that it grew from,
    were made from. `erased_queries` are hashes of the queries that it lost by erasures.
    """

    kind = to_translate("data set")
    role = "dataset"
    folder = "data"
    on_erasure = "rewrite"
    layouts = tuple(frozenset(schema.names) for schema in (CORPUS, QUERIES, QRELS, HELD_OUT))

    source: str = ""
    format: str = ""
    shape: str = ""
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    licence: str | None = None
    validated_by: str | None = None
    rows_read: int = 0
    splits: dict[str, int] = field(default_factory=dict)
    held_out: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    bad_rows: tuple[str, ...] = ()
    rows: dict[str, int] = field(default_factory=dict)
    length_unit: str = "words"
    length_every: int = 1
    tokenizer: str | None = None
    documents: TextFacts = field(default_factory=TextFacts)
    queries: TextFacts = field(default_factory=TextFacts)
    chunk_overlap: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    erased: Erased | None = None
    erased_queries: tuple[str, ...] = ()

    @property
    def document_count(self) -> int:
        """The number of documents; chunks of one count once."""
        return self.counts["documents"]

    @property
    def query_count(self) -> int:
        """The number of queries."""
        return self.counts["queries"]


@dataclass(frozen=True, kw_only=True)
class ExamplesManifest(Manifest):
    """Training examples: pairs with their negatives.

    `table_files` {data files: which of their rows were deleted} are those of the table when it was
    searched, so that a later run finds what has changed since. `pool` is the fingerprint of the
    examples that these were cut from.
    """

    kind = to_translate("examples")
    role = "examples"
    folder = "examples"
    patterns = ("*.parquet", "nearest/*.arrow", "mining.json")
    layouts = (
        frozenset(EXAMPLES.names),
        frozenset(EXAMPLE_ROWS.names),
        # what the search that mined them remembers
        frozenset({"query_id", "content_hash", "embedding", "rows", "scores", "is_whole"}),
    )

    searched: Searched | None = None
    table_files: dict[str, str] = field(default_factory=dict)
    negatives: int = 0
    is_lists: bool = True
    pool: str | None = None
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def example_count(self) -> int:
        """The number of rows that training reads."""
        return self.counts["examples"]


@dataclass(frozen=True, kw_only=True)
class TableManifest(Manifest):
    """An embedding table at one version, as Lance describes it: no file of it is a manifest."""

    kind = to_translate("table")
    role: ClassVar[str] = "table"
    folder = "tables"
    on_erasure = "rewrite"
    layouts = (
        # texts while they are encoded
        frozenset({"document_id", "content_hash", "text", "line"}),
    )

    version: int


@dataclass(frozen=True, kw_only=True)
class EvaluationManifest(Manifest):
    """An evaluation: means, and the values of each query, text and pair, of model `encoder`."""

    kind = to_translate("evaluation")
    layouts = (frozenset(BEST.names),)

    encoder: str
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ExportManifest(Manifest):
    """Embeddings of a table as Parquet, cut to `dimensions`."""

    kind = to_translate("exported embeddings")
    layouts = (frozenset({"document_id", "embedding"}),)

    dimensions: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class StartManifest(Manifest):
    """A model that a training begins with: turned to a corpus, or with its vocabulary alone."""

    kind = to_translate("start of a training")
    on_erasure = "keep"

    start: Start | None


@dataclass(frozen=True, kw_only=True)
class CheckpointManifest(Manifest):
    """A trained model. `dev` {metric: value} has the scores on the dev sample, and the step.

    `fingerprint` is its encoder's; `dimensions` those that it was trained for, widest first.
    """

    kind = to_translate("checkpoint")
    role: ClassVar[str] = "checkpoint"
    folder = "models"
    on_erasure = "keep"

    dimensions: tuple[int, ...] = ()
    dev: dict[str, float] = field(default_factory=dict)
    start: Start | None = None
    vocabulary: Vocabulary | None = None
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """The score that chose this checkpoint among those of its training."""
        return self.dev["score"]

    @property
    def step(self) -> int:
        """The step of its training at which it was taken."""
        return int(self.dev["step"])


# What versions name first, the newest before what it was made from.
KINDS: tuple[type[Manifest], ...] = (
    TableManifest,
    CheckpointManifest,
    ExamplesManifest,
    DatasetManifest,
    EvaluationManifest,
    ExportManifest,
    StartManifest,
)
