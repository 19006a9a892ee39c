"""What a Lens panel asks of Elasticsearch: its columns as one aggregation, as Lens would build it."""

from typing import Any

from support.kql import query_of

Column = dict[str, Any]
_METRICS = {"average": "avg", "sum": "sum", "max": "max", "min": "min", "unique_count": "cardinality"}
_CALCULATED = {"formula", "math"}


def search_of(attributes: dict[str, Any]) -> dict[str, Any]:
    """The body of the search of a Lens chart, by its attributes."""
    (layer,) = attributes["state"]["datasourceStates"]["formBased"]["layers"].values()
    columns = layer["columns"]
    order = [name for name in layer["columnOrder"] if columns[name]["isBucketed"]]
    metrics = {
        name: _metric(columns[name])
        for name in layer["columnOrder"]
        if not columns[name]["isBucketed"] and columns[name]["operationType"] not in _CALCULATED
    }
    aggregations: dict[str, Any] = metrics
    for name in reversed(order):
        # A grouping may be ordered by a metric only where that one is its direct part.
        aggregations = {name: {**_grouping(columns[name], metrics), "aggs": {**metrics, **aggregations}}}
    return {"size": 0, "query": query_of(attributes["state"]["query"]["query"]), "aggs": aggregations}


def _grouping(column: Column, metrics: dict[str, Any]) -> dict[str, Any]:
    field = column["sourceField"]
    if column["operationType"] == "date_histogram":
        return {"date_histogram": {"field": field, "fixed_interval": "1m", "min_doc_count": 1}}
    assert column["operationType"] == "terms"
    by = column["params"]["orderBy"]
    key = "_key" if by["type"] == "alphabetical" else by["columnId"]
    if key != "_key":
        assert key in metrics, f"ordered by {key}, which is no column that can be ordered by"
        assert not {"filter", "top_hits"} & metrics[key].keys(), f"ordered by {key}"
        if "percentiles" in metrics[key]:
            key = f"{key}.{metrics[key]['percentiles']['percents'][0]}"
        elif "value_count" in metrics[key]:
            key = "_count"
    order = {key: column["params"]["orderDirection"]}
    return {"terms": {"field": field, "size": column["params"]["size"], "order": order}}


def _metric(column: Column) -> dict[str, Any]:
    inner = _plain_metric(column)
    if "filter" not in column or "top_hits" in inner:
        return inner
    return {"filter": query_of(column["filter"]["query"]), "aggs": {"value": inner}}


def _plain_metric(column: Column) -> dict[str, Any]:
    operation, field = column["operationType"], column["sourceField"]
    if operation == "count":
        return {"value_count": {"field": "_index"}}
    if operation == "percentile":
        return {"percentiles": {"field": field, "percents": [column["params"]["percentile"]]}}
    if operation == "last_value":
        sort = [{column["params"]["sortField"]: {"order": "desc"}}]
        return {"top_hits": {"size": 1, "sort": sort, "_source": False, "fields": [field]}}
    return {_METRICS[operation]: {"field": field}}
