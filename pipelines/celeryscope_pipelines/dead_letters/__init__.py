"""Dead letters: records that can't be indexed, kept in a topic of their own with the reason.

A letter's message has the record (or the original message, when it could not be decoded) as its value, so that it can
be put back on its topic as it is; what is known about it stands in the headers ``kind``, ``reason``, ``error``,
``topic``, ``partition`` and ``offset``. The message's timestamp is the time of the refusal.
"""

from celeryscope_pipelines.dead_letters.letter import MAX_BYTES, DeadLetter, StoredLetter
from celeryscope_pipelines.dead_letters.purge import Purge, plan_purge
from celeryscope_pipelines.dead_letters.reader import Selection, letters_at, read_dead_letters
from celeryscope_pipelines.dead_letters.sender import DeadLetters

__all__ = [
    "MAX_BYTES",
    "DeadLetter",
    "DeadLetters",
    "Purge",
    "Selection",
    "StoredLetter",
    "letters_at",
    "plan_purge",
    "read_dead_letters",
]
