"""The columns of a Lens layer: what is grouped by, and what is counted, averaged or divided.

A column is the dictionary that Lens stores; the ids by which charts name columns are the caller's.
"""

from typing import Any, Final

Column = dict[str, Any]
Columns = dict[str, Column]

RECORDS: Final = "___records___"
"""What Lens calls the documents themselves, which a count counts."""


def count(label: str, query: str = "", *, per: str = "") -> Column:
    """The number of documents, those that a KQL query finds; ``per`` is a unit of time: ``s``, ``m``, ``h``."""
    column = _metric("count", RECORDS, label, query, emptyAsNull=False)
    return {**column, "timeScale": per} if per else column


def distinct(label: str, field: str, query: str = "") -> Column:
    """The number of different values."""
    return _metric("unique_count", field, label, query, emptyAsNull=False)


def average(label: str, field: str, query: str = "", **shown: Any) -> Column:
    """The mean."""
    return _metric("average", field, label, query, emptyAsNull=True, **shown)


def total(label: str, field: str, query: str = "", **shown: Any) -> Column:
    """The sum."""
    return _metric("sum", field, label, query, emptyAsNull=True, **shown)


def maximum(label: str, field: str, query: str = "", **shown: Any) -> Column:
    """The largest value."""
    return _metric("max", field, label, query, emptyAsNull=True, **shown)


def percentile(label: str, field: str, percent: int, query: str = "", **shown: Any) -> Column:
    """The value that ``percent`` of all values do not exceed."""
    return _metric("percentile", field, label, query, percentile=percent, **shown)


def earliest(label: str, field: str, query: str = "") -> Column:
    """The first moment."""
    return {**_metric("min", field, label, query, emptyAsNull=True), "dataType": "date"}


def latest(label: str, field: str, query: str = "") -> Column:
    """The last moment."""
    return {**_metric("max", field, label, query, emptyAsNull=True), "dataType": "date"}


def last_value(label: str, field: str, by: str = "@timestamp", kind: str = "string") -> Column:
    """The value of the newest document that has one."""
    column = _metric("last_value", field, label, f"{field}: *", sortField=by, showArrayValues=False)
    return {**column, "dataType": kind, "scale": "ordinal" if kind == "string" else "ratio"}


def over_time(field: str = "@timestamp") -> Column:
    """Grouped by time, in steps that fit the range."""
    return {
        "dataType": "date",
        "isBucketed": True,
        "label": field,
        "operationType": "date_histogram",
        "params": {"interval": "auto", "includeEmptyRows": True, "dropPartials": False},
        "scale": "interval",
        "sourceField": field,
    }


def top(label: str, field: str, size: int, by: str | None) -> Column:
    """Grouped by the values with the most of another column of the layer, named by its id; None: by the alphabet."""
    order = {"type": "alphabetical", "fallback": False} if by is None else {"type": "column", "columnId": by}
    return {
        "customLabel": True,
        "dataType": "string",
        "isBucketed": True,
        "label": label,
        "operationType": "terms",
        "params": {
            "size": size,
            "orderBy": order,
            "orderDirection": "asc" if by is None else "desc",
            "otherBucket": False,
            "missingBucket": False,
            "parentFormat": {"id": "terms"},
            "include": [],
            "exclude": [],
            "includeIsRegex": False,
            "excludeIsRegex": False,
        },
        "scale": "ordinal",
        "sourceField": field,
    }


def share(name: str, label: str, part: tuple[str, Column], whole: tuple[str, Column]) -> Columns:
    """One column divided by another, in per cent; each comes with the formula that Lens shows for it.

    A formula is stored with the columns it is made of: ``<name>X0`` and ``<name>X1``, and ``<name>X2`` that divides.
    """
    (part_formula, part_column), (whole_formula, whole_column) = part, whole
    formula = f"{part_formula} / {whole_formula}"
    hidden = {"customLabel": True, "label": f"Part of {formula}"}
    divide = {
        "type": "function",
        "name": "divide",
        "args": [f"{name}X0", f"{name}X1"],
        "location": {"min": 0, "max": len(formula)},
        "text": formula,
    }
    number = {"dataType": "number", "isBucketed": False, "scale": "ratio", "customLabel": True}
    percent = {"id": "percent", "params": {"decimals": 1}}
    return {
        name: {
            **number,
            "label": label,
            "operationType": "formula",
            "params": {"formula": formula, "isFormulaBroken": False, "format": percent},
            "references": [f"{name}X2"],
        },
        f"{name}X0": {**part_column, **hidden},
        f"{name}X1": {**whole_column, **hidden},
        f"{name}X2": {
            **number,
            **hidden,
            "operationType": "math",
            "params": {"tinymathAst": divide},
            "references": [f"{name}X0", f"{name}X1"],
        },
    }


SECONDS: Final[Column] = {
    "format": {"id": "duration", "params": {"decimals": 1, "fromUnit": "seconds", "toUnit": "auto"}}
}
"""For a column's value: seconds, said as people say them."""
BYTES: Final[Column] = {"format": {"id": "bytes", "params": {"decimals": 1}}}


def _metric(operation: str, field: str, label: str, query: str, **params: Any) -> Column:
    column: Column = {
        "customLabel": True,
        "dataType": "number",
        "isBucketed": False,
        "label": label,
        "operationType": operation,
        "params": params,
        "scale": "ratio",
        "sourceField": field,
    }
    return {**column, "filter": {"language": "kuery", "query": query}} if query else column
