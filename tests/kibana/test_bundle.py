"""The bundle as Kibana's import reads it: whole, of the right versions, with references that lead somewhere."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from celeryscope import semconv
from celeryscope.service.kibana_views import Kibana, View, identifier
from celeryscope.service.rules.reading import read_rules
from celeryscope_kibana.bundle import SHIPPED, bundle, for_space
from celeryscope_pipelines.provisioning.templates import INDICES
from support.bundle import Bundle
from support.kql import query_of

# Kibana refuses what it does not know, and runs wrong migrations on other versions.
VERSIONS = {
    "dashboard": "10.2.0",
    "lens": "8.9.0",
    "visualization": "8.5.0",
    "search": "8.0.0",
    "index-pattern": "8.0.0",
    "tag": "8.0.0",
    "links": "10.1.0",
}
ATTRIBUTES = {
    "dashboard": {
        *("title", "description", "panelsJSON", "optionsJSON", "timeRestore", "timeFrom", "timeTo", "refreshInterval"),
        *("version", "kibanaSavedObjectMeta", "controlGroupInput"),
    },
    "search": {
        *("title", "description", "columns", "sort", "grid", "hideChart", "isTextBasedQuery", "timeRestore"),
        "kibanaSavedObjectMeta",
    },
    "index-pattern": {
        *("title", "name", "timeFieldName", "fieldAttrs", "fieldFormatMap", "runtimeFieldMap", "sourceFilters"),
        *("fields", "typeMeta"),
    },
    "links": {"title", "description", "layout", "links"},
    "tag": {"name", "description", "color"},
}
OPTIONAL = {"timeFieldName"}
PANEL = {"type", "title", "panelIndex", "gridData", "embeddableConfig", "panelRefName"}
STRINGS = {
    "dashboard": ("panelsJSON", "optionsJSON"),
    "index-pattern": ("fieldAttrs", "fieldFormatMap", "runtimeFieldMap", "sourceFilters", "fields", "typeMeta"),
}


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return Bundle(SHIPPED.read_text(encoding="utf-8"))


def test_the_shipped_bundle_is_what_the_sources_say() -> None:
    assert SHIPPED.read_text(encoding="utf-8") == bundle() == bundle()


@pytest.mark.parametrize("space", ["", "celery"])
def test_each_rule_s_view_is_a_dashboard_of_the_bundle(space: str) -> None:
    objects = Bundle(for_space(SHIPPED.read_text(encoding="utf-8"), space or "default")).objects
    dashboards = {saved["id"] for saved in objects if saved["type"] == "dashboard"}
    for rule in read_rules():
        address = Kibana("https://kibana", space).of_view(rule.dashboard)
        assert re.search(r"/view/([^?]+)\?", address)[1] in dashboards, rule.id  # type: ignore[index]
    assert {identifier(view, space) for view in get_args(View)} == dashboards


def test_each_object_has_the_version_that_all_supported_kibanas_read(shipped: Bundle) -> None:
    assert {saved["type"]: saved["typeMigrationVersion"] for saved in shipped.objects}.items() <= VERSIONS.items()
    assert {saved["coreMigrationVersion"] for saved in shipped.objects} == {"8.8.0"}


def test_no_object_has_an_attribute_that_kibana_does_not_know(shipped: Bundle) -> None:
    for saved in shipped.objects:
        known = ATTRIBUTES[saved["type"]]
        assert known - OPTIONAL <= saved["attributes"].keys() <= known, saved["id"]


def test_all_strings_that_hold_json_can_be_read(shipped: Bundle) -> None:
    for saved in shipped.objects:
        for name in STRINGS.get(saved["type"], ()):
            assert isinstance(saved["attributes"][name], str)
            json.loads(saved["attributes"][name])
        if "kibanaSavedObjectMeta" in saved["attributes"]:
            source = json.loads(saved["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
            assert source.keys() >= {"query", "filter"}
            query_of(source["query"]["query"])


def test_ids_are_unique_and_references_lead_to_objects_of_the_bundle(shipped: Bundle) -> None:
    known = [(saved["type"], saved["id"]) for saved in shipped.objects]
    assert len({identity for _, identity in known}) == len(known)
    for saved in shipped.objects:
        names = [reference["name"] for reference in saved["references"]]
        assert len(set(names)) == len(names), saved["id"]
        assert {(reference["type"], reference["id"]) for reference in saved["references"]} <= set(known), saved["id"]


def test_each_name_of_a_reference_is_used_and_each_used_one_is_there(shipped: Bundle) -> None:
    for saved in shipped.objects:
        used = {name for name in _names_of_references(saved) if not name.startswith("tag-")}
        given = {reference["name"] for reference in saved["references"] if reference["type"] != "tag"}
        assert used == given, saved["id"]


def _names_of_references(saved: dict[str, Any]) -> Iterator[str]:
    attributes = saved["attributes"]
    if saved["type"] == "search":
        yield json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])["indexRefName"]
    if saved["type"] == "links":
        yield from (link["destinationRefName"] for link in attributes["links"])
    if saved["type"] != "dashboard":
        return
    for panel in json.loads(attributes["panelsJSON"]):
        index = panel["panelIndex"]
        if "panelRefName" in panel:
            yield f"{index}:{panel['panelRefName']}"
        for own in panel["embeddableConfig"].get("attributes", {}).get("references", ()):
            yield f"{index}:{own['name']}"
        for event in panel["embeddableConfig"]["enhancements"].get("dynamicActions", {}).get("events", ()):
            yield f"{index}:drilldown:{event['action']['factoryId']}:{event['eventId']}:dashboardId"
    for index in json.loads(attributes["controlGroupInput"]["panelsJSON"]):
        yield f"controlGroup_{index}:optionsListDataView"


def test_panels_stand_on_the_grid_and_not_on_each_other(shipped: Bundle) -> None:
    for dashboard in shipped.of("dashboard"):
        taken: set[tuple[int, int]] = set()
        panels = json.loads(dashboard["attributes"]["panelsJSON"])
        assert len({panel["panelIndex"] for panel in panels}) == len(panels)
        for panel in panels:
            assert panel.keys() <= PANEL
            grid = panel["gridData"]
            assert panel["panelIndex"] == grid["i"]
            assert grid["x"] + grid["w"] <= 48
            cells = {
                (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
            }
            assert not taken & cells, (dashboard["id"], panel.get("title"))
            taken |= cells


def test_every_dashboard_begins_with_links_to_all_dashboards(shipped: Bundle) -> None:
    (links,) = shipped.of("links")
    dashboards = {saved["id"] for saved in shipped.of("dashboard")}
    assert {reference["id"] for reference in links["references"]} == dashboards
    assert len(dashboards) == 6
    for dashboard in shipped.of("dashboard"):
        first = json.loads(dashboard["attributes"]["panelsJSON"])[0]
        name = f"{first['panelIndex']}:{first['panelRefName']}"
        assert {"name": name, "type": "links", "id": links["id"]} in dashboard["references"]


def test_charts_name_only_columns_that_they_have(shipped: Bundle) -> None:
    charts = [panel for panel in shipped.panels() if panel.lens]
    assert len(charts) > 30
    for panel in charts:
        assert panel.lens
        (layer,) = panel.lens["state"]["datasourceStates"]["formBased"]["layers"].values()
        columns = layer["columns"]
        assert layer["columnOrder"] == list(columns), panel.title
        named = set(_columns_named(panel.lens["state"]["visualization"]))
        for column in columns.values():
            named |= set(column.get("references", ()))
            by = column.get("params", {}).get("orderBy", {})
            named |= {by["columnId"]} if by.get("type") == "column" else set()
        assert named == set(columns), panel.title
        query_of(panel.lens["state"]["query"]["query"])


def _columns_named(visualization: dict[str, Any]) -> Iterator[str]:
    yield from (column["columnId"] for column in visualization.get("columns", ()))
    if "metricAccessor" in visualization:
        yield visualization["metricAccessor"]
    for layer in visualization.get("layers", ()):
        yield from (layer["xAccessor"], *layer["accessors"])
        yield from [layer["splitAccessor"]] if "splitAccessor" in layer else []
        assert {config["forAccessor"] for config in layer["yConfig"]} <= set(layer["accessors"])


def test_nothing_needs_a_licence_that_is_not_free(shipped: Bundle) -> None:
    text = json.dumps(shipped.objects)
    assert "DASHBOARD_TO_DASHBOARD_DRILLDOWN" in text
    assert "URL_DRILLDOWN" not in text


def test_links_in_tables_lead_to_objects_of_the_bundle(shipped: Bundle) -> None:
    known = {saved["id"]: saved["type"] for saved in shipped.objects}
    seen = set()
    for view in shipped.of("index-pattern"):
        for field, format_ in json.loads(view["attributes"]["fieldFormatMap"]).items():
            address = format_["params"].get("urlTemplate", "")
            found = re.match(
                r"\.\./app/(dashboards|discover)#/view/([\w-]+)\?_g=\(time:\(.+\)\)&_a=\(query:\(.+\)\)$", address
            )
            if found:
                assert known[found[2]] == {"dashboards": "dashboard", "discover": "search"}[found[1]]
                assert f"{field}:%22{{{{value}}}}%22" in address
                seen.add(field)
    assert seen == {"celery.fingerprint", "celery.root_id", "celery.task_id"}


def test_a_bundle_for_another_space_shares_no_id_and_is_as_whole(shipped: Bundle) -> None:
    other = Bundle(for_space(bundle(), "team-a"))
    ids = {saved["id"] for saved in other.objects}
    assert not ids & {saved["id"] for saved in shipped.objects}
    for saved in other.objects:
        assert {reference["id"] for reference in saved["references"]} <= ids
    assert not re.search(r"celeryscope-(?!team-a-)", json.dumps(other.objects))
    assert for_space(bundle(), "default") == bundle()


def test_vega_is_strict_json_of_version_5_without_what_kibana_refuses(shipped: Bundle) -> None:
    views = [panel for panel in shipped.panels() if panel.vega]
    assert len(views) == 2
    for panel in views:
        assert panel.vega
        assert panel.vega["$schema"].endswith("/vega/v5.json")
        for data in panel.vega["data"]:
            assert data.get("url", {}).keys() <= {"index", "body"}, "%context% and a query exclude each other"
            assert data.get("url", {}).get("body", {}).get("size", 0) <= 10_000
        assert "script" not in json.dumps([data.get("url") for data in panel.vega["data"]])


def test_a_request_with_aggregations_names_an_index_that_setup_makes(shipped: Bundle) -> None:
    """Without any index Elasticsearch leaves the aggregations out, and the view would stop before the first task."""
    specs = [panel.vega for panel in shipped.panels() if panel.vega]
    requests = [data["url"] for spec in specs for data in spec["data"] if "url" in data]
    counting = [request for request in requests if "aggs" in request["body"]]
    assert counting
    assert all(semconv.INDEX_WATCHER in request["index"].split(",") for request in counting)
    assert semconv.INDEX_WATCHER in INDICES
