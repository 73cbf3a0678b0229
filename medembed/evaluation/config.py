"""Say what is measured, and what must not be lost elsewhere."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from medembed.config import Config, InputUri
from medembed.language import tr

Depth = Annotated[int, Field(ge=1, le=1000)]

# {name: the must-rank cases that come with MedEmbed}
PACKAGED_CASES = {"fr": "package://medembed/evaluation/cases/fr.yaml"}


class EvaluationConfig(Config):
    """Which queries, at which dimensions, by which metrics, and how sure."""

    dimensions: tuple[int, ...] = Field(
        default=(),
        description="Matryoshka dimensions to measure; empty: those that the model was trained "
        "for, or its width",
    )
    split: str | None = Field(
        default="test", description="train, dev, test, or held_back; null: all queries"
    )
    tag: str | None = Field(default=None, description="only queries with this tag, e.g. lay")
    k: tuple[Depth, ...] = Field(
        default=(1, 3, 5, 10, 100),
        min_length=1,
        description="depths of NDCG, recall, precision, F1, MRR, MAP and accuracy",
    )
    neighbours: int = Field(
        default=5, ge=1, le=1000, description="nearest labelled texts that vote for a text's class"
    )
    must_rank: InputUri | None = Field(
        default=None,
        description="YAML of cases: a query, the document that must stand above, the one below; "
        "fr: those that come with MedEmbed for French",
    )
    bootstrap_samples: int = Field(
        default=2000, ge=100, description="resamples behind each 95% interval"
    )
    seed: int = Field(default=0, ge=0, description="seed of the bootstrap")
    show_text: bool = Field(
        default=False,
        description="show the texts of queries in the report; off, as they may be patients'",
    )

    @field_validator("must_rank")
    @classmethod
    def _find_cases(cls, place: str | None) -> str | None:
        """Turn the name of packaged cases into their place."""
        return place and PACKAGED_CASES.get(place, place)


SetName = Annotated[str, Field(min_length=1, max_length=60)]


class RetentionConfig(Config):
    """Data from elsewhere, on which a model must not lose what it could before."""

    short_key: ClassVar[str | None] = "sets"

    sets: dict[SetName, InputUri] = Field(
        default={},
        description="data sets made by `medembed prepare`, or BEIR folders, that are not trained "
        "on: a list, or {name: place}; retention=[a,b] says the same",
    )
    tolerance: float = Field(
        default=0.005,
        ge=0,
        lt=1,
        description="loss of NDCG@10 that no set may surely exceed at any dimension",
    )
    confidence: float = Field(
        default=0.95,
        gt=0.5,
        lt=1,
        description="that a loss called sure is one, all sets and dimensions in view",
    )
    queries: int = Field(
        default=200,
        ge=10,
        description="queries of each set, at most, by which checkpoints are compared",
    )
    documents: int = Field(
        default=800, ge=10, description="documents that they are ranked against, positives included"
    )
    made: bool = Field(
        default=True,
        description="without sets, and where the data set holds nothing back, make one of the "
        "corpus that is trained on: first sentences ask for the rest",
    )

    @field_validator("sets", mode="before")
    @classmethod
    def _name(cls, values: Any) -> Any:
        """Turn a list of places into {last name of each: place}."""
        if isinstance(values, str):
            values = [values]
        return _by_name(values) if isinstance(values, list | tuple) else values


def _by_name(places: Iterable[Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for place in places:
        name = str(place).rstrip("/").rpartition("/")[2]
        if not name:
            raise ValueError(
                tr(
                    "found {place!r}, which has no last name to go by; name it: "
                    "{{clinic: {place}}}",
                    place=place,
                )
            )
        if name in named:
            raise ValueError(
                tr(
                    "found two sets called {name!r}; name them: {{one: {first}, another: {place}}}",
                    name=name,
                    first=named[name],
                    place=place,
                )
            )
        named[name] = place
    return named
