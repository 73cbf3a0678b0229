"""Open the texts that a table is made from, and leave no copy of them behind."""

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from medembed import storage
from medembed.data.corpus import Corpus, open_corpus
from medembed.data.own_texts import TextColumns


@contextmanager
def open_texts(data: str, columns: TextColumns, table: str) -> Iterator[Corpus]:
    """Open a data set's corpus or files of one's own; their copy lies beside the table.

    A worker may still write to the copy after an interrupted job has removed it, so it is removed
    once more when this process ends, and no worker is left.
    """
    scratch = f"{table.rstrip('/')}.texts"
    remove = partial(storage.delete_folder, scratch)
    atexit.register(remove)
    with open_corpus(storage.absolute(data), columns, scratch) as corpus:
        yield corpus
    atexit.unregister(remove)
