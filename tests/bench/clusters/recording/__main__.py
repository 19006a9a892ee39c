"""Writes the corpus' groups from the applications: ``python -m clusters.recording [application ...]``.

An application is a file of ``applications/``: trees of source files (``=== path`` begins a file; a tree ``from``
another takes over its files, with ``edits``), and groups with the runs that fail: ``[tree, setting, call, what differs
...]``. A setting is a deployment of ``deployments.py`` with flags behind it: ``docker+sentry``. What can't be raised
here is ``written`` out in the group. Libraries that are not installed have stand-ins in ``libraries.yaml``, of the same
modules, functions and chains; a failure's ``made`` says where one stood in.

Recording again changes addresses, ports and the moments of soft limits, and nothing else.
"""

import json
import re
import subprocess
import sys
import sysconfig
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from celeryscope.text import cut_middle
from clusters.recording.deployments import DEPLOYMENTS, Deployment
from clusters.recording.versions import as_python, message_of

_HERE = Path(__file__).parent
_CORPUS = _HERE.parent / "corpus"
_TIMEOUT = 120
_NATIVE = "_native_"
"""In a path: what is C in the real library, so that it has no frames."""
_NOTES = "\nwhen serializing dict item 'price'\nwhen serializing dict item 'parcel'\n"
"""What Python 3.14's JSON encoder adds to an exception: where in the document it was."""
_IMPORTER = re.compile(r'  File "[^"]*raising\.py", line \d+, in get_code\n.*\n +\^+\n')
_FROZEN = """  File "<frozen importlib._bootstrap_external>", line 1074, in get_code
  File "<frozen importlib._bootstrap_external>", line 1004, in source_to_code
  File "<frozen importlib._bootstrap>", line 241, in _call_with_frames_removed
"""
"""What Python's own importer shows where the recorder's compiles."""


@dataclass(frozen=True)
class Member:
    """A run to make, and the group it is for."""

    group: str
    setting: str
    deployment: Deployment
    flags: frozenset[str]
    run: dict[str, Any]
    differs: list[str]


def _files(text: str) -> dict[str, str]:
    parts = re.split(r"^=== (.+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _tree(trees: dict[str, Any], libraries: dict[str, str], name: str) -> dict[str, str]:
    tree = trees[name]
    files = _tree(trees, libraries, tree["from"]) if "from" in tree else {}
    for path in tree.get("without", []):
        del files[path]
    for library in tree.get("libraries", []):
        files |= {f"lib/{path}": source for path, source in _files(libraries[library]).items()}
    files |= _files(tree.get("files", ""))
    for path, old, new in tree.get("edits", []):
        assert old in files[path], f"{name}: {path} has no {old!r}"
        files[path] = files[path].replace(old, new)
    return files


def _members(application: dict[str, Any], libraries: dict[str, str]) -> Iterator[Member]:
    name = application["application"]
    for group, described in application["groups"].items():
        for tree, setting, call, *differs in described.get("runs", []):
            deployment_name, *flags = setting.split("+")
            deployment = DEPLOYMENTS[deployment_name].of(name)
            files = _tree(application["trees"], libraries, tree)
            run = {"files": files, "root": deployment.root, "site": deployment.site, "call": call}
            run["eager"] = "eager" in flags
            run["retries"] = next((int(flag[5:]) for flag in flags if flag.startswith("retry")), 0)
            run["sourceless"] = [
                path for path in files if ("nosource" in flags and not path.startswith("lib/")) or _NATIVE in path
            ]
            yield Member(group, setting, deployment, frozenset(flags), run, differs)


def _raise(members: list[Member]) -> list[dict[str, Any]]:
    results: dict[int, dict[str, Any]] = {}
    for sentry in (False, True):
        of_it = [member for member in members if ("sentry" in member.flags) is sentry]
        job = {"sentry": sentry, "runs": [member.run for member in of_it]}
        done = subprocess.run(
            [sys.executable, _HERE / "raising.py"], input=json.dumps(job), text=True, capture_output=True,
            timeout=_TIMEOUT, check=False, cwd="/tmp",
        )  # fmt: skip
        assert "@@RESULTS" in done.stdout, done.stderr
        found = json.loads(done.stdout.partition("@@RESULTS\n")[2])
        results |= {id(member): result for member, result in zip(of_it, found, strict=True)}
    return [results[id(member)] for member in members]


def _shown(member: Member, result: dict[str, Any]) -> dict[str, Any]:
    if "error" in result:
        raise SystemExit(f"{member.group} {member.setting} {member.run['call']}: {result['error']}")
    deployment = member.deployment
    assert deployment.root in result["stacktrace"], result["stacktrace"]
    text = deployment.relocated(
        result["stacktrace"], sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"), str(_HERE)
    )
    text = as_python(_without_native(_IMPORTER.sub(_FROZEN, text)), deployment.minor)
    if limit := next((int(flag[3:]) for flag in member.flags if flag.startswith("cut")), 0):
        text = cut_middle(text, limit, lambda part: part)
    made = "raised" if deployment.minor == 11 else f"raised by 3.11, shown as 3.{deployment.minor} does"
    if libraries := sorted(name for name in _stand_ins(member) if f"/{name}/" in text.replace("\\", "/")):
        made += f"; stands in for the real one: {', '.join(libraries)}"
    message = message_of(result["message"], deployment.minor)
    if "urllib1" in member.flags:
        text, message = _as_urllib3_1(text), _as_urllib3_1(message)
    if "notes" in member.flags:
        text = text.rstrip() + _NOTES
    return {
        "differs": member.differs,
        "setting": member.setting,
        "made": made,
        **result,
        "message": message,
        # Blanks at the ends of lines say nothing and can't stand in a literal block.
        "stacktrace": "\n".join(line.rstrip() for line in text.rstrip().split("\n")) + "\n",
    }


def _stand_ins(member: Member) -> set[str]:
    paths = (path.split("/")[1] for path in member.run["files"] if path.startswith("lib/") and path.count("/") > 1)
    return set(paths)


def _as_urllib3_1(text: str) -> str:
    """urllib3 1.26 tells the object where 2.x tells host and port."""
    connection = r"NewConnectionError\(\"HTTPConnection\(host='[^']+', port=\d+\): ([^\"]+)\"\)"
    return re.sub(
        connection, f"NewConnectionError('<urllib3.connection.HTTPConnection object at {_address(text)}>: \\1')", text
    )


def _address(text: str) -> str:
    return f"0x7f{zlib.crc32(text[-40:].encode()):08x}d0"


def _without_native(text: str) -> str:
    kept: list[str] = []
    indent: int | None = None
    for line in text.split("\n"):
        depth = len(line) - len(line.lstrip())
        if line.lstrip().startswith("File ") and _NATIVE in line:
            indent = depth
        elif indent is None or depth <= indent:
            indent = None
            kept.append(line)
    return "\n".join(kept)


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as literal blocks."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value.strip("\n") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def _write(application: dict[str, Any], shown: dict[str, list[dict[str, Any]]]) -> None:
    for name, described in application["groups"].items():
        members = shown.get(name, []) + described.get("written", [])
        document = {"application": application["application"], "why": described["why"].strip()}
        document |= {"excluded": described["excluded"]} if "excluded" in described else {}
        text = yaml.dump(
            document | {"members": members}, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True
        )
        (_CORPUS / f"{name}.yaml").write_text(text)


def main(wanted: list[str]) -> None:
    """Record all applications, or those named."""
    libraries = yaml.safe_load((_HERE / "libraries.yaml").read_text())
    _CORPUS.mkdir(exist_ok=True)
    for path in sorted((_HERE / "applications").glob("*.yaml")):
        if wanted and path.stem not in wanted:
            continue
        application = yaml.safe_load(path.read_text())
        members = list(_members(application, libraries))
        shown: dict[str, list[dict[str, Any]]] = {}
        for member, result in zip(members, _raise(members), strict=True):
            shown.setdefault(member.group, []).append(_shown(member, result))
        _write(application, shown)
        print(f"{path.stem}: {len(application['groups'])} groups, {sum(map(len, shown.values()))} raised")


if __name__ == "__main__":
    main(sys.argv[1:])
