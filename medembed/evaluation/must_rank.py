"""Judge must-rank cases: for this query this document stands above that one. Pure.

A case is a promise to users that a mean over queries does not see broken, such as "MI treatment":
myocardial infarction above Michigan (behavioural tests; Ribeiro et al. 2020, arXiv:2005.04118).
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import yaml
from pydantic import StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from medembed import storage
from medembed.config import Config
from medembed.errors import DataError
from medembed.evaluation.metrics import Values
from medembed.language import to_translate, tr
from medembed.plain_yaml import RepeatedKeyError, parse_yaml

_UNNAMED = "case "  # and its place in the file, as JSON has it
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_TEXT = to_translate("a text that is not empty")
_DOCUMENT = to_translate("a text that is not empty, or {id: ...} of a document of the corpus")
_EXPECTED = {"name": _TEXT, "query": _TEXT, "above": _DOCUMENT, "below": _DOCUMENT}


class DocumentId(Config):
    """A document of the corpus, by its id."""

    id: Text


class Case(Config):
    """For `query`, `above` must have a higher cosine than `below`: texts, or documents by id."""

    name: Text
    query: Text
    above: Text | DocumentId
    below: Text | DocumentId

    @property
    def sides(self) -> "tuple[Text | DocumentId, Text | DocumentId]":
        """The one above, then the one below."""
        return self.above, self.below


@dataclass(frozen=True)
class CaseOutcome:
    """The cosines that a case has under a model at one dimension."""

    name: str
    above: float
    below: float

    @property
    def title(self) -> str:
        """The case's name; of a case without one its place, in the user's language."""
        number = self.name.removeprefix(_UNNAMED)
        is_unnamed = number != self.name and number.isdecimal()
        return tr("case {number}", number=number) if is_unnamed else self.name

    @property
    def margin(self) -> float:
        """How far the right document is above the wrong one; negative if below it."""
        return self.above - self.below

    @property
    def holds(self) -> bool:
        """Strictly above: a model that cannot tell the two apart fails."""
        return self.above > self.below


def load_cases(uri: str | None) -> tuple[Case, ...]:
    """Load the cases of a YAML file: a list of query, above and below, each named if you like.

    None without a file. A case without a name is called "case 3" by its place. Raises DataError
    that names file, case and key and quotes no text, StorageError if the file cannot be read.
    """
    if uri is None:
        return ()
    rows = _parse(uri)
    cases = tuple(_check(uri, number, row) for number, row in enumerate(rows, start=1))
    places: dict[str, int] = {}
    for number, case in enumerate(cases, start=1):
        first = places.setdefault(case.name, number)
        if first != number:
            raise DataError(
                "{uri}: case {number}: name: the same as that of case {first}; give each its own.",
                uri=uri,
                number=number,
                first=first,
            )
        if case.above == case.below:
            raise DataError(
                "{uri}: case {number}: above and below are the same; no model can rank them apart.",
                uri=uri,
                number=number,
            )
    return cases


def judge(
    cases: Sequence[Case], above: Mapping[int, Values], below: Mapping[int, Values]
) -> dict[int, tuple[CaseOutcome, ...]]:
    """Return {dimension: an outcome per case}, in the order of `above`.

    above, below {dimension: float64 [cases]}: cosines of each case's query with its two documents.
    """
    return {
        dimension: tuple(
            CaseOutcome(case.name, float(high), float(low))
            for case, high, low in zip(cases, values, below[dimension], strict=True)
        )
        for dimension, values in above.items()
    }


def _parse(uri: str) -> list[Any]:
    try:
        rows = parse_yaml(storage.read_bytes(uri))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{uri}:{mark.line + 1}" if mark else uri
        if isinstance(error, RepeatedKeyError):
            raise DataError(
                "{place}: a key stands twice in one case; start each case with a dash.", place=place
            ) from None
        # The parser's own message would quote the file.
        raise DataError(
            "{place}: not valid YAML; put texts that have a colon or # into quotes.", place=place
        ) from None
    if not isinstance(rows, list) or not rows:
        top = tr("keys") if isinstance(rows, dict) else tr("one value")
        raise DataError(
            "{uri}: found {top} at the top; expected a list of cases, each '- query: ...'.",
            uri=uri,
            top=top if rows else tr("nothing"),
        )
    return rows


def _check(uri: str, number: int, row: Any) -> Case:
    if not isinstance(row, dict):
        raise DataError(
            "{uri}: case {number}: expected query, above and below; found no keys.",
            uri=uri,
            number=number,
        )
    try:
        return Case.model_validate({"name": f"{_UNNAMED}{number}"} | row)
    except ValidationError as error:
        # the first of each key
        faults = {str(fault["loc"][0]): fault for fault in reversed(error.errors())}
        order = [*_EXPECTED, *(key for key in faults if key not in _EXPECTED)]
        reasons = [_explain(key, faults[key]) for key in order if key in faults]
        raise DataError(
            "{uri}: case {number}: {reasons}.", uri=uri, number=number, reasons="; ".join(reasons)
        ) from None


def _explain(key: str, fault: ErrorDetails) -> str:
    if key in _EXPECTED:
        expected = tr(_EXPECTED[key])
        if fault["type"] == "missing":
            return tr("{key}: missing; expected {expected}", key=key, expected=expected)
        return tr("{key}: not usable; expected {expected}", key=key, expected=expected)
    nearest = difflib.get_close_matches(key, _EXPECTED, n=1)
    if nearest:
        return tr(
            "{key}: unknown key; the nearest known key is {nearest!r}", key=key, nearest=nearest[0]
        )
    # not shown: it may be a text
    return tr("an unknown key; known are {keys}", keys=", ".join(_EXPECTED))
