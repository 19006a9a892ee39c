"""Vega as Kibana carries it, installed once for all runs with the same lock file; Node and Chromium once for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from support.kibana import Canvas, VegaPanel, canvas, vega_modules


@pytest.fixture(scope="session")
def modules() -> Path:
    return vega_modules()


@pytest.fixture(scope="session")
def drawing(modules: Path) -> Iterator[Canvas]:
    with canvas(modules) as found:
        yield found


@pytest.fixture(scope="module")
def panel(chromium: Browser, modules: Path) -> VegaPanel:
    return VegaPanel(chromium.new_page(), modules)
