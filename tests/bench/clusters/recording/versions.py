"""How Python 3.8 to 3.14 would show what 3.11 showed, by what has changed in its traceback module and its messages."""

import re

_FRAME = re.compile(r'^(?P<margin>[ |+-]*)  File "(?P<file>[^"]*)", line (?P<line>\d+), in (?P<name>.*)$')
_CARETS = re.compile(r"^[ |]*[~^]+[~^ ]*$")
# What 3.11 says, what the version says, the first and the last minor version that says so.
_MESSAGES = [
    (r"cannot access local variable '(\w+)' where it is not associated with a value",
     r"local variable '\1' referenced before assignment", 0, 10),
    (r"\b\w+\.(\w+\(\) (?:missing|takes|got) )", r"\1", 0, 9),
    (r"\bfloat division by zero", "division by zero", 14, 99),
    (r"string indices must be integers, not '\w+'", "string indices must be integers", 0, 10),
    (r"unhashable type: '(\w+)'", r"cannot use '\1' as a dict key (unhashable type: '\1')", 14, 99),
    (r"(?<=NameError: )name '(datetime|json|math|re)' is not defined$",
     r"name '\1' is not defined. Did you forget to import '\1'?", 12, 99),
    (r"(?<=AttributeError: )'Profile' object has no attribute 'incme'$",
     "'Profile' object has no attribute 'incme'. Did you mean: 'income'?", 12, 99),
]  # fmt: skip
_COMPREHENSIONS = {"<listcomp>", "<dictcomp>", "<setcomp>"}


def message_of(text: str, minor: int) -> str:
    """An exception's message as Python 3.``minor`` words it."""
    for pattern, wording, first, last in _MESSAGES:
        if first <= minor <= last:
            text = re.sub(pattern, wording, text, flags=re.MULTILINE)
    return text


def as_python(text: str, minor: int) -> str:
    """The traceback as Python 3.``minor`` shows it."""
    if minor == 11:
        return text
    lines = text.split("\n")
    if minor <= 10:
        lines = _without_carets(lines)
    if minor >= 12:
        lines = _with_inlined_comprehensions(lines)
    if minor >= 13:
        lines = _with_marked_calls(lines)
    return message_of("\n".join(lines), minor)


def _without_carets(lines: list[str]) -> list[str]:
    """3.11 brought them; those of a SyntaxError are older."""
    kept: list[str] = []
    for number, line in enumerate(lines):
        of_frame = number >= 2 and _FRAME.match(lines[number - 2])
        if not (_CARETS.match(line) and of_frame):
            kept.append(line)
    return kept


def _with_inlined_comprehensions(lines: list[str]) -> list[str]:
    """PEP 709: a comprehension runs in the frame of its function, at the line of its own."""
    result: list[str] = []
    start = 0
    for line in lines:
        frame = _FRAME.match(line)
        if frame and frame["name"] in _COMPREHENSIONS:
            outer = _FRAME.match(result[start])
            assert outer is not None
            del result[start:]
            start = len(result)
            result.append(line.removesuffix(frame["name"]) + outer["name"])
            continue
        if frame:
            start = len(result)
        result.append(line)
    return result


def _with_marked_calls(lines: list[str]) -> list[str]:
    """3.13 marks the callee with tildes and its brackets with carets."""
    result: list[str] = []
    for number, line in enumerate(lines):
        marked = line
        if number >= 2 and _CARETS.match(line) and _FRAME.match(lines[number - 2]) and "~" not in line:
            source = lines[number - 1]
            begin, end = line.index("^"), line.rindex("^") + 1
            opening = _opening(source[begin:end])
            if opening:
                marked = line[:begin] + "~" * opening + "^" * (end - begin - opening)
        result.append(marked)
    return result


def _opening(call: str) -> int:
    """Where the bracket opens that the last character closes; 0 for none."""
    if not call.endswith(")"):
        return 0
    depth = 0
    for place in range(len(call) - 1, -1, -1):
        depth += (call[place] == ")") - (call[place] == "(")
        if depth == 0:
            return place
    return 0
