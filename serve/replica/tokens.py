"""What a model reads of texts, without computing embeddings: to cut documents and count costs as it
does.
"""

from serve.errors import RequestError
from serve.replica.compute import MOST_COUNTED, Served, count, tokenize
from serve.replica.protocol import (
    Refused,
    Tokenized,
    Work,
    check_fingerprint,
    check_model,
    check_prompt,
    check_total,
)


def read_tokens(work: Work, served: Served) -> Tokenized | Refused:
    """Return the tokens of each input as embedding it would read them, or why the model refused."""
    try:
        check_model(work.model, served.model)
        check_fingerprint(work.expected_fingerprint, served.model)
        check_prompt(work.prompt_name, served.model)
        tokens, truncated = tokenize(served, work)
        check_total(tokens.lengths, work)
        counts = tokens.lengths
        for number, is_cut in enumerate(truncated):
            if is_cut:
                counts[number] = _count(served, work, number)
    except RequestError as error:
        return Refused(error, served.model)
    return Tokenized(tokens.ids, counts, truncated, served.model)


def _count(served: Served, work: Work, number: int) -> int:
    tokens = count(served, work, number)
    if tokens is None:
        raise RequestError(
            400,
            (
                f"input[{number}]: has more than {MOST_COUNTED:,} characters; count its parts one "
                "by one."
            ),
            "input",
        )
    return tokens
