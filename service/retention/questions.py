"""Tell whether a recorded question asks for an object or an actor. See `access.reads` for the records."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import Any

from service.events import records
from service.events.models import Erasure
from service.events.objects_told import Ref, refs_of

OBJECT = re.compile(r"/objects/(.+)/(?:history|state)/", re.DOTALL)
# A name ends where none of these goes on; what is asked for is looked for as a whole, since any text may be erased.
WORD = r"[\w./+@-]"
WORDS = re.compile(f"{WORD}+")
# Parameters, or terms of `q`, that say of which model objects are, that can have a key, and that have one of an object.
OF_MODEL = re.compile(r"\b(?:sender\w*|data\.model):", re.IGNORECASE)
WITH_KEY = re.compile(r"(?:object_id\w*|data\.[^:]+|q):", re.IGNORECASE)
OF_OBJECT = re.compile(r"\b(?:object_id\w*|data\.(?:pks(?:\.\d+)?|pk|id)):", re.IGNORECASE)

Question = list[str]  # each parameter as ``name:value``


class Wanted:
    """What is looked for in the records of reads: all in one pass, however many erasures it is of."""

    def __init__(self, erasures: Iterable[Erasure]) -> None:
        self.of_path: dict[str, list[Erasure]] = {}
        self.by_word: dict[str | None, list[tuple[Erasure, Callable[[Question], bool]]]] = {}
        for erasure in erasures:
            subject = str(erasure.subject)
            self.of_path.setdefault(records.told(subject), []).append(erasure)
            for text, asks in forms(subject):
                word = WORDS.search(records.told(text))
                self.by_word.setdefault(word and word[0], []).append((erasure, asks))

    def asked_for(self, data: Any) -> Iterator[Erasure]:
        """Yield those whose subject is asked for in the ``data`` of a record, which may be anything."""
        if not isinstance(data, dict):
            return
        path = OBJECT.search(str(data.get("path")))
        yield from self.of_path.get(path[1], ()) if path else ()
        parameters = data.get("parameters")
        question = [f"{key}:{value}" for key, value in parameters.items()] if isinstance(parameters, dict) else []
        words = {None, *(word for each in question for word in WORDS.findall(each))}
        for word in words & self.by_word.keys():
            yield from (erasure for erasure, asks in self.by_word[word] if asks(question))


def forms(subject: str) -> Iterator[tuple[str, Callable[[Question], bool]]]:
    """Yield the texts by which a question can ask for ``subject``, and what tells whether it does."""
    yield subject, partial(names, subject)
    for ref in refs_of(subject):
        yield ref.object_id, partial(names_key, ref)


def names(subject: str, question: Question) -> bool:
    return any(map(whole(subject).search, question))


def names_key(ref: Ref, question: Question) -> bool:
    """Tell whether an object is asked for by its key, with its model, or with none by what only a key can follow."""
    found = [each for each in question if WITH_KEY.match(each) and whole(ref.object_id).search(each)]
    if found and any(map(OF_MODEL.search, question)):
        return any(map(whole(ref.sender).search, question))
    return any(map(OF_OBJECT.search, found))


@lru_cache(1_000)
def whole(text: str) -> re.Pattern[str]:
    return re.compile(f"(?<!{WORD}){re.escape(records.told(text))}(?!{WORD})")
