"""What is to be written to Elasticsearch because of a record."""

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Op(Enum):
    """How a document is written so that writing it again changes nothing."""

    CREATE = "create"
    """Once; a second time is a conflict, which is fine."""
    VERSIONED = "index"
    """Unless a version at least as high is there; then it's a conflict, which is fine."""
    FAILURE = "failure"
    """One failure of a cluster: it is merged with what is there."""


@dataclass(slots=True)
class Write:
    """One document: ``version`` only with VERSIONED."""

    op: Op
    index: str
    id: str
    body: dict[str, Any]
    version: int = 0
