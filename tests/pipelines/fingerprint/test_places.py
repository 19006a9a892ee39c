"""Whose code a file is, and what its place is called, on all the machines an application runs on."""

import pytest

from celeryscope_pipelines.fingerprint.model import Frame
from celeryscope_pipelines.fingerprint.places import InApp, is_application, module, place

APPLICATIONS = [
    "/app/shop/pay.py",
    "/srv/shop/releases/20260301120455/shop/pay.py",
    "/home/bob/src/shop/pay.py",
    "/srv/shop.pyz/shop/pay.py",
    "/srv/shop-1.2-py3.8.egg/shop/pay.py",
    "/root/.pex/unzipped_pexes/0a1b2c/shop/pay.py",
    "/var/task/shop/pay.py",
    "C:\\shop\\releases\\7\\shop\\pay.py",
    "shop/pay.py",
    "/srv/app/shop/vendor/models.py",
    "/srv/app/src/shop/requests/api.py",
    "/srv/libraries/shop/pay.py",
    "/home/conda/shop/pay.py",
    "/srv/app/fast/pay.pyx",
]
OTHERS = [
    "/srv/venv/lib/python3.8/site-packages/requests/api.py",
    "/opt/odd-name/lib64/python3.13t/site-packages/requests/api.py",
    "/usr/lib/python3/dist-packages/requests/api.py",
    "/opt/conda/envs/shop/lib/python3.10/json/decoder.py",
    "/home/bob/.pyenv/versions/3.9.18/lib/python3.9/json/decoder.py",
    "/home/bob/.local/share/uv/python/cpython-3.12.1-linux-x86_64-gnu/lib/python3.12/json/decoder.py",
    "/nix/store/0a1b-python3-3.11.6/lib/python3.11/json/decoder.py",
    "/Library/Frameworks/Python.framework/Versions/3.12/lib/python3.12/json/decoder.py",
    "/usr/lib/pypy3.10/json/decoder.py",
    "/opt/pypy/lib-python/3/json/decoder.py",
    "/usr/src/Python-3.11.4/Lib/json/decoder.py",
    "C:\\Python312\\Lib\\json\\decoder.py",
    "C:\\Users\\bob\\AppData\\Local\\Programs\\Python\\Python311\\lib\\json\\decoder.py",
    "C:\\Users\\bob\\miniconda3\\envs\\shop\\lib\\json\\decoder.py",
    "C:\\hostedtoolcache\\windows\\Python\\3.11.4\\x64\\lib\\json\\decoder.py",
    "C:\\shop\\venv\\Lib\\site-packages\\requests\\api.py",
    "/usr/lib/python311.zip/json/decoder.py",
    "/root/.pex/installed_wheels/0a1b/requests-2.31.0-py3-none-any.whl/requests/api.py",
    "/root/.pex/unzipped_pexes/0a1b/.deps/requests-2.31.0-py3-none-any.whl/requests/api.py",
    "/srv/app/__pypackages__/3.11/lib/requests/api.py",
    "/srv/app/shop/_vendor/requests/api.py",
    "/var/task/requests/api.py",
    "/opt/python/sqlalchemy/engine/base.py",
    "/srv/app/vendor/requests/api.py",
    "/app/vendor/paylib/client.py",
    "/srv/venv/src/requests/src/requests/api.py",
    "pandas/_libs/hashtable_class_helper.pxi",
    "src/gevent/greenlet.py",
    "/usr/local/bin/celery",
    "<frozen importlib._bootstrap>",
    "<attrs generated init shop.models.Order>",
    "<string>",
]


@pytest.mark.parametrize("path", APPLICATIONS)
def test_files_of_the_application(path: str) -> None:
    assert is_application(path)


@pytest.mark.parametrize("path", OTHERS)
def test_files_of_others(path: str) -> None:
    assert not is_application(path)


@pytest.mark.parametrize(
    "path",
    [
        "/usr/local/lib/python3.11/site-packages/shop/pay.py",
        "/usr/local/lib/python3.11/site-packages/shop.py",
        "/root/.pex/installed_wheels/0a1b/shop-1.0-py3-none-any.whl/shop/pay.py",
    ],
)
def test_an_application_that_is_installed_is_known_by_its_tasks_package(path: str) -> None:
    assert is_application(path, "shop")
    assert not is_application(path, "other")
    assert not is_application(path)


def test_celerys_own_tasks_make_celery_no_application() -> None:
    assert not is_application("/usr/local/lib/python3.11/site-packages/celery/app/builtins.py", "celery")


def test_what_is_excluded_goes_before_what_is_included() -> None:
    both = InApp(include=("requests.*",), exclude=("requests.adapters",))
    found = "/srv/venv/lib/python3.8/site-packages/requests/"
    assert is_application(f"{found}api.py", in_app=both)
    assert not is_application(f"{found}adapters.py", in_app=both)


@pytest.mark.parametrize("path", [*APPLICATIONS[:8], "/usr/lib/python3.11/site-packages/shop/pay.py"])
def test_a_module_is_called_the_same_everywhere(path: str) -> None:
    assert module(path) == "shop.pay"


@pytest.mark.parametrize("path", ["/app/tasks.py", "/srv/app/current/tasks.py", "/usr/src/app/tasks.pyc", "tasks.py"])
def test_a_module_in_the_applications_folder_has_no_package(path: str) -> None:
    assert module(path) == "tasks"


@pytest.mark.parametrize(
    "folder",
    [
        "releases/20261121",
        "release_42",
        "deploy_20261121_1204",
        "build_1a2b3c4d",
        "a81bc2ff09",
        "_MEI28142",
        "tmpx7_k2qz1",
    ],
)
def test_a_folder_that_each_release_or_process_has_of_its_own_is_no_package(folder: str) -> None:
    assert module(f"/srv/{folder}/tasks.py") == "tasks"
    assert module(f"/srv/{folder}/shop/tasks.py") == "shop.tasks"


@pytest.mark.parametrize("package", ["app2", "builders", "tmpl", "tmpfiles", "api_v2", "deploy_tools"])
def test_a_package_that_looks_a_little_like_one_is_a_package(package: str) -> None:
    assert module(f"/srv/shop/{package}/tasks.py") == f"{package}.tasks"


def test_a_function_that_cython_qualifies_has_its_own_name() -> None:
    assert place(Frame("/srv/app/fast/pay.pyx", "fast.pay.Order.charge")) == "fast.pay in charge"


@pytest.mark.parametrize("part", ["/a", "\\python", "C:\\conda\\", "/lib/python3", ".whl", "a.pyx"])
def test_a_path_of_any_length_takes_milliseconds(part: str) -> None:
    path = part * 100_000
    assert len(module(path)) <= 1001 * len(part)
    is_application(path, "shop", InApp(include=("*a*b*",)))
