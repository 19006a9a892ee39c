"""Rules' files, read and checked; every problem of every file is found at once."""

import importlib.util
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from celeryscope.errors import ConfigError
from celeryscope.service.rules.models import Rule
from celeryscope.service.rules.query import PLACEHOLDER, identity_columns
from celeryscope.service.rules.wording import FORMS, fields_of
from celeryscope.service.yaml_file.document import Document, Problem
from celeryscope.service.yaml_file.document import Path as InFile
from celeryscope.service.yaml_file.reading import checked, refused, text_of

_WHAT = "the rule"


def shipped() -> Path:
    """The folder of the rules that celeryscope brings. Raises ConfigError when they are not installed."""
    found = importlib.util.find_spec("celeryscope_kibana")
    for place in found.submodule_search_locations or () if found else ():
        if (folder := Path(place) / "rules").is_dir():
            return folder
    raise ConfigError("celeryscope's alert rules are not installed; install the wheel of celeryscope again.")


def read_rules(folder: Path | None = None) -> tuple[Rule, ...]:
    """The rules of a folder (of the shipped ones), by their ids. Raises ConfigError that names all problems."""
    rules: dict[str, Rule] = {}
    wrong: list[str] = []
    documents: dict[str, tuple[Path, Document]] = {}
    for path in sorted((folder or shipped()).glob("*.yaml")):
        rule, found, document = checked(text_of(path, _WHAT), Rule)
        if rule is not None:
            found = sorted(_problems(rule, path.stem, document))
        if rule is None or found:
            wrong.append(str(refused(path, _WHAT, found)))
        else:
            rules[rule.id], documents[rule.id] = rule, (path, document)
    for rule in rules.values():
        path, document = documents[rule.id]
        if found := list(_unknown_causes(rule, rules, document)):
            wrong.append(str(refused(path, _WHAT, found)))
    if wrong:
        raise ConfigError("\n".join(wrong))
    return tuple(rules.values())


def nearest(word: str, known: list[str]) -> str:
    """What may have been meant by an unknown word, as the end of a sentence."""
    near = get_close_matches(word, known, n=1)
    return f"did you mean `{near[0]}`?" if near else "known are " + ", ".join(f"`{name}`" for name in sorted(known))


def _problems(rule: Rule, stem: str, document: Document) -> Iterator[Problem]:
    def problem(text: str, *path: str | int) -> Problem:
        where: InFile = path
        return Problem(document.at(where), text)

    if rule.id != stem:
        yield problem(f"`{rule.id}` stands in {stem}.yaml; the file must be named like its rule", "id")
    for path, text in _wrong_queries(rule):
        yield problem(text, *path)
    if identity_columns(rule.query) != rule.group:
        columns = ", ".join(identity_columns(rule.query)) or "nothing"
        yield problem(f"the query's last STATS is by {columns}, which is what Kibana tells alerts apart by", "group")
    for column in sorted({*rule.subject} - {*rule.group}):
        yield problem(f"`{column}` is not in `group`: {nearest(column, list(rule.group))}", "subject")
    for key in ("message", "show"):
        for column, form in fields_of(getattr(rule, key)):
            if form and form not in FORMS:
                yield problem(f"`{{{column}:{form}}}`: {nearest(form, list(FORMS))}", key)


def _wrong_queries(rule: Rule) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with what is asked, and where."""
    known, used = list(rule.parameters), set(PLACEHOLDER.findall(rule.query))
    for key, text in (("query", rule.query), ("candidates", rule.candidates)):
        for name in sorted(set(PLACEHOLDER.findall(text)) - set(known)):
            yield (key,), f"`{{{name}}}` in the {key} is no parameter: {nearest(name, known)}"
    for name in sorted(set(known) - used):
        yield ("parameters", name), f"the parameter `{name}` does not stand in the query"
    by = identity_columns(rule.candidates)
    if len(by) > 1 or not {*by} <= {*rule.group}:
        columns = ", ".join(by)
        yield ("candidates",), f"the last STATS is by {columns}; it may be by one column of `group`, or by none"


def _unknown_causes(rule: Rule, rules: dict[str, Rule], document: Document) -> Iterator[Problem]:
    for number, inhibition in enumerate(rule.inhibited_by):
        if inhibition.rule not in rules:
            place = document.at(("inhibited_by", number, "rule"))
            yield Problem(place, f"`{inhibition.rule}` is no rule: {nearest(inhibition.rule, list(rules))}")
