"""Kibana's query language, as far as the views use it, as Elasticsearch's queries: and, or, not, ranges, wildcards.

field: value    field: "words"    field: (a or "b")    field: *    field >= "now-2m"    not …    (… and …)
"""

import re
from collections.abc import Iterator
from typing import Any

Query = dict[str, Any]

_TOKEN = re.compile(r'\s*(?:(?P<quoted>"[^"]*")|(?P<mark>>=|<=|[:<>()])|(?P<word>[^\s:<>()"]+))')
_RANGES = {">=": "gte", "<=": "lte", ">": "gt", "<": "lt"}


def query_of(text: str) -> Query:
    """The query; raises AssertionError for what is no KQL."""
    if not text:
        return {"match_all": {}}
    reader = _Reader(text)
    query = reader.either()
    assert reader.next is None, f"{text!r} goes on with {reader.next!r}"
    return query


def fields_of(text: str) -> set[str]:
    """The fields that are asked for."""
    found = re.findall(r"([\w.@]+)\s*(?::|>=|<=|<|>)", re.sub(r'"[^"]*"', '""', text))
    return set(found)


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens = self._read(text)
        self.next: str | None = next(self._tokens, None)

    def _read(self, text: str) -> Iterator[str]:
        place = 0
        while place < len(text.rstrip()):
            found = _TOKEN.match(text, place)
            assert found, f"no KQL at {text[place:]!r}"
            place = found.end()
            yield found.group().strip()

    def _take(self) -> str:
        taken, self.next = self.next, next(self._tokens, None)
        assert taken is not None, "the query ends too early"
        return taken

    def either(self) -> Query:
        parts = [self._both()]
        while self.next == "or":
            self._take()
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else {"bool": {"should": parts, "minimum_should_match": 1}}

    def _both(self) -> Query:
        parts = [self._one()]
        while self.next == "and":
            self._take()
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else {"bool": {"filter": parts}}

    def _one(self) -> Query:
        if self.next == "not":
            self._take()
            return {"bool": {"must_not": [self._one()]}}
        if self.next == "(":
            self._take()
            inner = self.either()
            assert self._take() == ")"
            return inner
        field, sign = self._take(), self._take()
        if sign in _RANGES:
            return {"range": {field: {_RANGES[sign]: self._take().strip('"')}}}
        assert sign == ":", f"{field} is followed by {sign}"
        return self._values(field)

    def _values(self, field: str) -> Query:
        if self.next != "(":
            return _has(field, self._take())
        self._take()
        values = [_has(field, self._take())]
        while self.next == "or":
            self._take()
            values.append(_has(field, self._take()))
        assert self._take() == ")"
        return {"bool": {"should": values, "minimum_should_match": 1}}


def _has(field: str, value: str) -> Query:
    if value == "*":
        return {"exists": {"field": field}}
    if value.startswith('"'):
        return {"match_phrase": {field: value.strip('"')}}
    if "*" in value:
        return {"wildcard": {field: {"value": value}}}
    return {"match": {field: value}}
