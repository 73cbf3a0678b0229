"""Say what is wrong with a value of a config, in the user's language."""

import difflib
from collections.abc import Sequence

from pydantic_core import ErrorDetails

from medembed.language import to_translate, tr

_LONGEST_KEY = 60
_FAULTS = {  # the usual ones of pydantic, by their types
    "bool_type": to_translate("Input should be a valid boolean"),
    "bool_parsing": to_translate("Input should be true or false"),
    "dict_type": to_translate("Input should be a valid dictionary"),
    "finite_number": to_translate("Input should be a finite number"),
    "float_parsing": to_translate("Input should be a number"),
    "float_type": to_translate("Input should be a valid number"),
    "greater_than": to_translate("Input should be greater than {gt:g}"),
    "greater_than_equal": to_translate("Input should be greater than or equal to {ge:g}"),
    "int_from_float": to_translate("Input should be a whole number"),
    "int_parsing": to_translate("Input should be a whole number"),
    "int_type": to_translate("Input should be a whole number"),
    "less_than": to_translate("Input should be less than {lt:g}"),
    "less_than_equal": to_translate("Input should be less than or equal to {le:g}"),
    "literal_error": to_translate("Input should be {expected}"),
    "model_type": to_translate("Input should be keys and their values"),
    "string_pattern_mismatch": to_translate("String should match pattern '{pattern}'"),
    "string_too_short": to_translate("Input should not be empty"),
    "string_type": to_translate("Input should be a text"),
    "too_long": to_translate("Input should have at most {max_length} entries"),
    "too_short": to_translate("Input should have at least {min_length} entries"),
    "tuple_type": to_translate("Input should be a list"),
}


def explain(fault: ErrorDetails, names: Sequence[str]) -> str:
    """Return what pydantic found, as one line; `names` are the keys of the config, dotted."""
    key = ".".join(map(str, fault["loc"]))
    value = fault.get("input")
    if fault["type"] == "extra_forbidden":
        return tr(
            "{key}: unknown key; the nearest known key is {nearest!r} (--help lists all)",
            # it might be a text rather than a key
            key=key if len(key) <= _LONGEST_KEY else tr("a key"),
            nearest=difflib.get_close_matches(key, names, n=1, cutoff=0.0)[0],
        )
    if fault["type"] == "missing":
        return tr("{key}: missing; give {key}=... (--help lists all keys)", key=key)
    if fault["type"] == "tuple_type" and isinstance(value, str):
        return tr("{key}: expected a list, {key}=[{value}], found {value!r}", key=key, value=value)
    message = explain_value(fault)
    if isinstance(value, int | float | str | list | bool):
        message = tr("{message}, found {value!r}", message=message, value=value)
    # of a config as a whole its own words
    return tr("{key}: {message}", key=key, message=message) if key else message


def explain_value(fault: ErrorDetails) -> str:
    """Return what is wrong with a value, without its key."""
    usual = _FAULTS.get(fault["type"])
    values = fault.get("ctx", {})
    if fault["type"] == "string_too_short" and fault["input"]:
        return tr("Input should have at least {min_length} characters", **values)
    if usual:
        if "expected" in values:
            values["expected"] = values["expected"].replace(" or ", tr(" or "))
        return tr(usual, **values)
    return fault["msg"].removeprefix("Value error, ")
