"""Stands in for Kibana where Vega is concerned: answers a specification's requests, and renders it.

What Kibana does with a request: the words in per cent signs become the dashboard's query, filters and time range; the
answer takes the request's place. Rendering is the real Vega 5.33 with its interpreter, in Node and in Chromium.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch
from playwright.sync_api import Page

from celeryscope_kibana.report.context import Context
from demo.services import program

Spec = dict[str, Any]

_TESTS = Path(__file__).resolve().parents[1]
PACKAGES = _TESTS / "kibana" / "vega"
RENDER = PACKAGES / "render.mjs"
_INSTALLED = _TESTS.parent / "build" / "vega"


def vega_modules() -> Path:
    """The folder with Vega and its interpreter in the versions of the lock file; installed when it is not yet."""
    lock = (PACKAGES / "package-lock.json").read_bytes()
    folder = _INSTALLED / hashlib.sha256(lock).hexdigest()[:16]
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PACKAGES / name, folder / name)
        environment = {**os.environ, "PATH": f"{Path(program('node')).parent}:{os.environ['PATH']}"}
        command = [program("npm"), "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=folder, env=environment, check=True, timeout=400)
        (folder / "complete").touch()
    return folder / "node_modules"


def requests(spec: Spec) -> list[Spec]:
    """The requests of a specification: ``{index, body}`` each."""
    return [data["url"] for data in spec["data"] if "url" in data]


def answered(spec: Spec, client: Elasticsearch, context: Context) -> Spec:
    """The specification with each request's answer in its place."""
    whole: Spec = json.loads(json.dumps(spec))
    for data in whole["data"]:
        if "url" in data:
            url = data.pop("url")
            data["values"] = client.search(index=url["index"], body=context.fill(url["body"])).body
    return whole


def answered_with(spec: Spec, hits: list[Spec], **answers: Any) -> Spec:
    """The specification with these documents as the answer for hits; other requests find nothing or ``answers``."""
    whole: Spec = json.loads(json.dumps(spec))
    for data in whole["data"]:
        if "url" in data:
            del data["url"]
            is_hits = data["format"]["property"] == "hits.hits"
            found = {"hits": {"hits": [{"_source": hit} for hit in hits]}} if is_hits else {"aggregations": {}}
            data["values"] = answers.get(data["name"], found)
    return whole


@dataclass(frozen=True)
class Drawn:
    """What a view holds: data sets, marks by name (with bounds, row and task), calls of Kibana's functions."""

    data: dict[str, list[Spec]]
    marks: dict[str, list[Spec]]
    calls: list[list[Any]]
    problems: list[str]


class Canvas:
    """Node with Vega in it, which draws one specification after the other."""

    def __init__(self, modules: Path) -> None:
        environment = {**os.environ, "VEGA_MODULES": str(modules)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._node = subprocess.Popen([program("node"), str(RENDER)], text=True, env=environment, **pipes)

    def draw(self, spec: Spec, *, sets: tuple[str, ...] = ("rows",), width: int = 1180, height: int = 560) -> Drawn:
        """The view of an answered specification."""
        assert self._node.stdin
        assert self._node.stdout
        self._node.stdin.write(json.dumps({"spec": spec, "width": width, "height": height, "sets": sets}) + "\n")
        self._node.stdin.flush()
        line = self._node.stdout.readline()
        assert line, self._node.stderr and self._node.stderr.read()
        return Drawn(**json.loads(line))

    def close(self) -> None:
        """Node ends with its input."""
        self._node.communicate()


@contextmanager
def canvas(modules: Path) -> Iterator[Canvas]:
    """A canvas that ends with the block."""
    drawing = Canvas(modules)
    try:
        yield drawing
    finally:
        drawing.close()


class VegaPanel:
    """A page that is a panel of a dashboard."""

    def __init__(self, page: Page, modules: Path) -> None:
        self._page = page
        self._modules = modules

    def show(self, spec: Spec, width: int = 1200, height: int = 560) -> Page:
        """The page with the answered specification drawn; its ``window.calls`` are those of Kibana's functions."""
        page = self._page
        page.set_viewport_size({"width": width, "height": height})
        page.set_content("<body style='margin:0;background:#fff'><div id='panel'></div></body>")
        for script in ("vega/build/vega.js", "vega-interpreter/build/vega-interpreter.js"):
            page.add_script_tag(path=str(self._modules / script))
        page.evaluate(_SHOW, {"spec": spec, "width": width, "height": height})
        return page


_SHOW = """
async ({spec, width, height}) => {
  window.calls = [];
  for (const name of ['kibanaAddFilter', 'kibanaRemoveFilter', 'kibanaRemoveAllFilters', 'kibanaSetTimeFilter'])
    vega.expressionFunction(name, (...args) => { window.calls.push([name, ...args]); });
  const runtime = vega.parse(spec, {}, {ast: true});
  const panel = document.querySelector('#panel');
  const options = {expr: vega.expressionInterpreter, renderer: 'canvas', container: panel, hover: true};
  const view = new vega.View(runtime, options);
  await view.width(width).height(height).runAsync();
  window.view = view;
}
"""
