"""The views for Kibana on the data of the real demo: every field is there, every request is answered, Vega draws it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from playwright.sync_api import Browser, Page

from celeryscope import semconv
from celeryscope_kibana.bundle import bundle
from celeryscope_kibana.report.context import Context
from celeryscope_kibana.states import NEVER_REACHED
from celeryscope_kibana.vega.clusters import cluster_table
from celeryscope_kibana.vega.timeline import timeline
from e2e.conftest import Finished
from support.bundle import Bundle, Panel
from support.kibana import Canvas, VegaPanel, answered, canvas, requests, vega_modules
from support.kql import query_of
from support.lens import search_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

WHOLE = Bundle(bundle())
CHARTS = [panel for panel in WHOLE.panels() if panel.lens]
VEGA = [panel for panel in WHOLE.panels() if panel.vega]
SEARCHES = WHOLE.of("search")
# What a demo in which all goes well has none of.
WITHOUT_DATA = {
    "Silent",
    "Sent and not received yet, by queue: the oldest",
    "Records that collectors refused, by reason",
    "Records that collectors dropped, by processor",
    "Dead letters",
    "Workers alive",
    "Alive",
    "celeryscope-search-stuck-stacks",
    "celeryscope-search-broker",
}


def failed(finished: Finished) -> set[str]:
    """Workflows of which an attempt failed; each has one failure."""
    return {
        item.root_id for item in finished.expected if any(part.state in semconv.FAILED_STATES for part in item.attempts)
    }


def name_of(panel: Panel) -> str:
    return f"{panel.dashboard}: {panel.title}"


@pytest.fixture(scope="module")
def client(finished: Finished) -> Iterator[Elasticsearch]:
    with Elasticsearch(finished.elasticsearch) as found:
        yield found


@pytest.fixture(scope="module")
def drawing() -> Iterator[Canvas]:
    with canvas(vega_modules()) as found:
        yield found


def lately(*filters: dict[str, Any]) -> Context:
    now = datetime.now(UTC)
    return Context(now - timedelta(hours=1), now + timedelta(minutes=1), filters)


def of_workflow(root: str) -> Context:
    return lately({"match_phrase": {semconv.ROOT_ID: root}})


def test_every_field_that_a_view_names_is_a_field_of_its_indices(client: Elasticsearch) -> None:
    named: dict[str, dict[str, str]] = {}
    for where, index, field in WHOLE.named_fields():
        named.setdefault(index, {})[field] = where
    assert len(named) == 7
    for index, fields in named.items():
        known = client.field_caps(index=index, fields=list(fields))["fields"]
        assert {field: where for field, where in fields.items() if field not in known} == {}, index
        assert [field for field, types in known.items() if len(types) > 1] == [], index


@pytest.mark.parametrize("panel", CHARTS, ids=name_of)
def test_the_aggregation_of_a_chart_is_answered(client: Elasticsearch, panel: VegaPanel) -> None:
    assert panel.lens
    index = WHOLE.index_of(panel.lens["references"][0]["id"])
    found = client.search(index=index, track_total_hits=True, **search_of(panel.lens))
    assert found["_shards"]["failed"] == 0
    if panel.title not in WITHOUT_DATA:
        assert found["hits"]["total"]["value"] > 0


@pytest.mark.parametrize("saved", SEARCHES, ids=lambda saved: saved["id"])
def test_a_saved_search_finds_documents(client: Elasticsearch, saved: dict[str, Any]) -> None:
    source = json.loads(saved["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
    index = WHOLE.index_of(saved["references"][0]["id"])
    count = client.count(index=index, query=query_of(source["query"]["query"]))["count"]
    assert count > 0 or saved["id"] in WITHOUT_DATA


@pytest.mark.parametrize("panel", VEGA, ids=name_of)
def test_the_requests_of_a_vega_view_are_answered(client: Elasticsearch, panel: VegaPanel) -> None:
    assert panel.vega
    for url in requests(panel.vega):
        found = client.search(index=url["index"], body=lately().fill(url["body"]))
        assert found["_shards"]["failed"] == 0
        assert found["hits"]["total"]["value"] > 0


def test_a_traceback_is_found_by_a_function_a_file_a_message_and_an_argument(client: Elasticsearch) -> None:
    for words in ("charge", "gateway.py", "declined", "unreachable"):
        query = {"bool": {"filter": [{"multi_match": {"query": words, "lenient": True}}]}}
        found = client.search(index=f"{semconv.DATA_STREAM_LOGS}-*", query=query, size=1)
        assert found["hits"]["total"]["value"] > 0, words


def test_a_chain_that_stopped_is_drawn_with_what_is_never_reached(
    client: Elasticsearch, drawing: Canvas, finished: Finished
) -> None:
    flow = finished.of("a chain that stops")[0]
    view = drawing.draw(answered(timeline(), client, of_workflow(flow.root_id)))
    assert view.problems == []
    assert [(row["name"].rpartition(".")[2], row["state"], row["depth"]) for row in view.data["rows"]] == [
        ("validate_order", "SUCCESS", 0),
        ("process_payment", "FAILURE", 0),
        ("ship_order", NEVER_REACHED, 0),
    ]


def test_a_group_with_a_chord_is_drawn_in_its_order(client: Elasticsearch, drawing: Canvas, finished: Finished) -> None:
    flow = finished.of("a group with a chord")[0]
    view = drawing.draw(answered(timeline(), client, of_workflow(flow.root_id)))
    rows = view.data["rows"]
    assert rows[0]["name"] == "shop.shipping.ship_wave"
    assert [row["group_index"] for row in rows[1:-1]] == list(range(len(rows) - 2))
    assert rows[-1]["name"] == "shop.shipping.sum_up"
    assert {row["depth"] for row in rows[1:]} == {1}


def test_attempts_of_a_flaky_task_are_drawn_below_each_other(
    client: Elasticsearch, drawing: Canvas, finished: Finished
) -> None:
    flow = finished.of("a flaky task")[0]
    view = drawing.draw(answered(timeline(), client, of_workflow(flow.root_id)))
    assert [row["state"] for row in view.data["rows"]] == ["RETRY", "RETRY", "SUCCESS"]
    assert all(mark["x2"] > mark["x"] for mark in view.marks["delays"][1:])


def test_without_a_choice_the_failed_workflows_are_listed_first(
    client: Elasticsearch, drawing: Canvas, finished: Finished
) -> None:
    view = drawing.draw(answered(timeline(), client, lately()), sets=("workflows", "rows"))
    listed = [line["root"] for line in view.data["workflows"]]
    assert view.data["rows"] == []
    assert set(listed[: len(failed(finished))]) == failed(finished)
    assert len(listed) > len(failed(finished))


def test_the_cluster_table_counts_what_the_demo_failed(
    client: Elasticsearch, drawing: Canvas, finished: Finished
) -> None:
    view = drawing.draw(answered(cluster_table(), client, lately()), sets=("clusters", "trends"))
    assert view.problems == []
    clusters = view.data["clusters"]
    assert sum(line["count"] for line in clusters) == len(failed(finished))
    assert sum(step["failures"] for step in view.data["trends"]) == sum(line["count"] for line in clusters)
    assert {line["state"] for line in clusters} == {semconv.CLUSTER_OPEN}
    assert all(line["is_new"] for line in clusters)
    assert len(view.marks["titles"]) == len(clusters)


def counted(client: Elasticsearch, index: str, query: str, **fields: str) -> dict[str, dict[str, int]]:
    """Documents by the values of fields."""
    aggregations = {name: {"terms": {"field": field, "size": 100}} for name, field in fields.items()}
    found = client.search(index=index, query=query_of(query), size=0, aggs=aggregations)["aggregations"]
    return {name: {bucket["key"]: bucket["doc_count"] for bucket in found[name]["buckets"]} for name in fields}


def test_apm_finds_runs_of_tasks_as_transactions_by_the_names_it_asks_for(
    client: Elasticsearch, finished: Finished
) -> None:
    query = 'processor.event: "transaction" and service.environment: "demo" and service.language.name: "python"'
    asked = {
        "names": "transaction.name",
        "types": "transaction.type",
        "agents": "agent.name",
        "nodes": "service.node.name",
    }
    found = counted(client, f"{semconv.DATA_STREAM_TRACES}-*", f"{query} and transaction.duration.us >= 0", **asked)
    assert found["names"].keys() > {"shop.orders.validate_order", "shop.shipping.ship_parcel"}
    assert found["types"].keys() == {"messaging"}
    assert found["agents"].keys() == {"celeryscope"}
    assert len(found["nodes"]) > 1
    outcomes = counted(client, f"{semconv.DATA_STREAM_TRACES}-*", query, outcome="event.outcome")["outcome"]
    assert outcomes["failure"] >= len([item for item in finished.expected if item.failure])


def test_apm_groups_errors_by_our_fingerprint_with_title_and_stack(client: Elasticsearch, finished: Finished) -> None:
    query = 'processor.event: "error" and service.environment: "demo" and error.exception.type: * and timestamp.us >= 0'
    asked = {"groups": "error.grouping_key", "ours": semconv.FINGERPRINT, "names": "error.grouping_name"}
    found = counted(client, f"{semconv.DATA_STREAM_LOGS}-*", query, **asked, handled="error.exception.handled")
    assert found["groups"] == found["ours"]
    assert sum(found["groups"].values()) == len(failed(finished))
    # The messages within a cluster may differ; its document has the latest failure's title.
    assert found["names"].keys() >= counted(client, semconv.INDEX_FAILURES, "", t=semconv.FAILURE_TITLE)["t"].keys()
    assert found["handled"].keys() == {0}
    with_stack = client.count(
        index=f"{semconv.DATA_STREAM_LOGS}-*", query=query_of(f"{query} and error.stack_trace: charge")
    )
    assert with_stack["count"] > 0


def test_apm_hangs_each_run_of_a_workflow_below_its_publisher_in_one_trace(
    client: Elasticsearch, finished: Finished
) -> None:
    root = finished.of("a chain nested in a task")[0].root_id
    fields = ["span.id", "parent.id", "trace.id", "transaction.id", "processor.event", "span.name"]
    query = query_of(f'{semconv.ROOT_ID}: "{root}"')
    hits = client.search(index=f"{semconv.DATA_STREAM_TRACES}-*", query=query, size=100, fields=fields)["hits"]["hits"]
    spans = [hit["fields"] for hit in hits]
    runs = [span for span in spans if span["processor.event"] == ["transaction"]]
    assert len({span["trace.id"][0] for span in spans}) == 1
    assert sorted(span["span.name"][0].rpartition(".")[2] for span in runs) == [
        "place_order",
        "process_payment",
        "ship_order",
        "validate_order",
    ]
    assert all(span["transaction.id"] == span["span.id"] for span in runs)
    known = {span["span.id"][0] for span in spans}
    assert [span for span in runs if span["parent.id"][0] not in known] == []


def calls(page: Page) -> Any:
    """Those of Kibana's functions, once there are any: Vega works a click off by and by."""
    page.wait_for_function("calls.length > 0", timeout=90_000)
    return page.evaluate("calls")


@pytest.fixture(scope="module")
def panel(chromium: Browser) -> VegaPanel:
    return VegaPanel(chromium.new_page(), vega_modules())


def test_a_click_on_a_listed_workflow_filters_the_dashboard_by_it(
    client: Elasticsearch, panel: VegaPanel, finished: Finished
) -> None:
    page = panel.show(answered(timeline(), client, lately()))
    page.mouse.click(200, 95)
    ((function, query, index, alias),) = calls(page)
    assert function == "kibanaAddFilter"
    assert query["match_phrase"][semconv.ROOT_ID] in failed(finished)
    assert index == f"{semconv.INDEX_TASKS}-*"
    assert alias.startswith("Workflow shop.")


def test_a_click_on_a_row_filters_the_rest_of_the_dashboard_and_a_second_one_takes_it_back(
    client: Elasticsearch, panel: VegaPanel, finished: Finished
) -> None:
    root = finished.of("a chain that stops")[0].root_id
    page = panel.show(answered(timeline(), client, of_workflow(root)))
    second_row = 6 + 104 + 28 + 14
    page.mouse.click(400, second_row)
    ((function, query, _, alias),) = calls(page)
    assert (function, alias.startswith("Task shop.payments.process_payment")) == ("kibanaAddFilter", True)
    # The timeline itself stays whole, with the row marked; log lines of that task alone remain.
    context = lately({"match_phrase": {semconv.ROOT_ID: root}}, query)
    page = panel.show(answered(timeline(), client, context))
    rows = page.evaluate("view.data('rows').map(row => [row.task, Boolean(row.picked)])")
    assert len(rows) == 3
    (picked,) = [task for task, is_picked in rows if is_picked]
    lines = client.search(index=f"{semconv.DATA_STREAM_LOGS}-*", query={"bool": {"filter": context.filters}}, size=100)
    tasks = {hit["_source"]["attributes"][semconv.TASK_ID] for hit in lines["hits"]["hits"]}
    assert tasks == {picked}
    page.mouse.click(400, second_row)
    assert [call[0] for call in calls(page)] == ["kibanaRemoveFilter"]
    assert calls(page)[0][1] == query


def test_a_click_on_a_cluster_filters_by_its_fingerprint(
    client: Elasticsearch, panel: VegaPanel, finished: Finished
) -> None:
    page = panel.show(answered(cluster_table(), client, lately()), height=440)
    page.mouse.click(200, 56)
    ((function, query, index, alias),) = calls(page)
    assert (function, index) == ("kibanaAddFilter", f"{semconv.DATA_STREAM_LOGS}-*")
    assert alias.startswith("Cluster: ")
    found = client.count(index=index, query={"bool": {"filter": [query, query_of('processor.event: "error"')]}})
    (count,) = page.evaluate("view.data('clusters').filter(line => line.line === 1).map(line => line.count)")
    assert found["count"] == count
