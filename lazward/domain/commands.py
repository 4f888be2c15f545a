"""Job commands: `${{inputs.x}}`, `${{outputs.y}}`, and `$[[optional]]` pieces become one bash command line.

A value is put in as text that bash takes literally, whatever the quotes around the place: a value can never become syntax
(S10). Unquoted literals are still split at blanks into several words, as users of Azure ML expect of `${{inputs.args}}`;
paths are never split.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass

from lazward.contract.errors import ArmError, bad_request

_BINDING = re.compile(r"\$\{\{\s*([^{}]*?)\s*\}\}")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(rf"^(inputs|outputs|search_space)\.({_NAME}(?:\.(?!path$){_NAME})*)(?:\.path)?$")  # group.member is a name, too
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]")


@dataclass(frozen=True)
class Value:
    """What a binding stands for. whole: never split into words (a path)."""

    text: str
    whole: bool = False


def references(command: str) -> list[tuple[str, str]]:
    """(group, name) of every binding, e.g. ("inputs", "data"); raises ArmError 400 for a binding of another form."""
    found = []
    for match in _BINDING.finditer(command):
        reference = _REFERENCE.match(match.group(1))
        if not reference:
            raise bad_request(f"'{match.group(0)[:80]}' is not a binding of a command: use ${{{{inputs.NAME}}}} or ${{{{outputs.NAME}}}}.", "properties.command")
        found.append((reference.group(1), reference.group(2)))
    return found


def check_command(command: str, inputs: set[str], outputs: set[str], space: Set[str] = frozenset()) -> None:
    """Raises ArmError 400 naming a binding that nothing answers; those inside $[[...]] may be absent. space: parameters of a sweep."""
    references(command)
    faults: dict[str, ArmError] = {}
    for group, name in references(_OPTIONAL.sub("", command)):
        known, word = {"inputs": (inputs, "input"), "outputs": (outputs, "output"), "search_space": (space, "parameter in its search space")}[group]
        if name not in known:
            text = f"The command refers to ${{{{{group}.{name}}}}}, but the job has no such {word}."
            faults[text] = bad_request(text, "properties.command")
    if faults:
        found = list(faults.values())
        raise found[0] if len(found) == 1 else ArmError(400, found[0].code, " ".join(faults), "properties.command", found)


def render(command: str, inputs: Mapping[str, Value], outputs: Mapping[str, Value]) -> str:
    """The command line for `bash -c`. An optional piece stays only if every input in it is given."""

    def keep(match: re.Match[str]) -> str:
        given = all(name in (outputs if group == "outputs" else inputs) for group, name in references(match.group(1)))
        return match.group(1) if given else ""

    text = _OPTIONAL.sub(keep, command)
    out: list[str] = []
    state = _Quotes()
    at = 0
    for match in _BINDING.finditer(text):
        piece = text[at : match.start()]
        state.read(piece)
        out.append(piece)
        group, name = _REFERENCE.match(match.group(1)).groups()  # type: ignore[union-attr] - references() has checked it
        value = (outputs if group == "outputs" else inputs)[name]
        out.append(state.quote(value))
        at = match.end()
    out.append(text[at:])
    return "".join(out)


class _Quotes:
    """Follows bash's quoting from the start of a command: none, '...' or "..."."""

    def __init__(self) -> None:
        self.inside = ""
        self.escaped = False
        self.comment = False
        self.last = " "

    def read(self, text: str) -> None:
        for char in text:
            if self.comment:
                self.comment = char != "\n"
            elif self.escaped:
                self.escaped = False
            elif char == "\\" and self.inside != "'":
                self.escaped = True
            elif self.inside:
                if char == self.inside:
                    self.inside = ""
            elif char in "'\"":
                self.inside = char
            elif char == "#" and self.last.isspace():
                self.comment = True
            self.last = char

    def quote(self, value: Value) -> str:
        text = value.text
        self.last = "x"
        if self.comment:
            return re.sub(r"[\r\n]", " ", text)
        if self.escaped:  # a backslash right before the binding would swallow our own escape
            self.escaped = False
            return "\\" + self._bare(text, value.whole) if text else ""
        if self.inside == "'":
            return text.replace("'", "'\\''")
        if self.inside == '"':
            return re.sub(r'([\\"$`!])', _escape_in_double, text)
        return self._bare(text, value.whole)

    @staticmethod
    def _bare(text: str, whole: bool) -> str:
        if not text:
            return "''"
        out = []
        for char in text:
            if char == "\n":
                out.append("$'\\n'" if whole else " ")
            elif _PLAIN.match(char) or (not whole and char in " \t"):
                out.append(char)
            elif char in "\r\t":
                out.append("$'\\r'" if char == "\r" else "$'\\t'")
            elif char == "~":
                out.append("\\~")
            else:
                out.append("\\" + char if ord(char) < 128 else char)
        return "".join(out)


def _escape_in_double(match: re.Match[str]) -> str:
    # '!' needs no escape in a non-interactive shell, and a backslash before it would stay.
    return match.group(1) if match.group(1) == "!" else "\\" + match.group(1)
