"""Dockerfile text into instructions, and the shell lines of RUN into commands. Nothing is run: this only reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

import msgspec

from lazward.domain.package_set import invalid

_NAMES = {
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "RUN", "SHELL",
    "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip
MAX_CHARACTERS, MAX_INSTRUCTIONS = 512 * 1024, 2000
MAX_EXPANDED = 64 * 1024  # forty lines of ARG A=$A$A would be a terabyte (S19)
_HEREDOC = re.compile(r"<<-?\s*([\"']?)([A-Za-z_][A-Za-z0-9_]*)\1")
_VARIABLE = re.compile(r"\\\$|\$(?:\{([A-Za-z_]\w*)(?:(:?[-+])([^}]{0,4096}))?\}|([A-Za-z_]\w*))")
_OPERATORS = ("&&", "||", ";", "|", "&", "\n", "(", ")")


class Instruction(msgspec.Struct, frozen=True):
    """`RUN pip install x` on line 3 is Instruction("RUN", "pip install x", 3). Here-documents stand in `body`."""

    name: str
    value: str
    line: int
    body: str = ""


def parse_dockerfile(text: str) -> list[Instruction]:
    """Raises ArmError with the line of what is no instruction."""
    if len(text) > MAX_CHARACTERS:
        raise invalid(f"The Dockerfile is larger than {MAX_CHARACTERS // 1024} KiB.", "build.dockerfilePath")
    escape = "`" if re.match(r"\s*#\s*escape\s*=\s*`", text, re.IGNORECASE) else "\\"
    found: list[Instruction] = []
    lines = iter(enumerate(text.removeprefix("\ufeff").splitlines(), 1))
    for number, raw in lines:
        if not raw.strip() or raw.lstrip().startswith("#"):
            continue
        whole = raw.rstrip()
        while whole.endswith(escape):
            whole = whole[: -len(escape)]
            following = next(((n, r) for n, r in lines if r.strip() and not r.lstrip().startswith("#")), None)
            if following is None:
                break
            whole += following[1].rstrip()
        name, _, value = whole.strip().partition(" ")
        if "\t" in name:
            name, _, value = whole.strip().partition("\t")
        if name.upper() not in _NAMES:
            raise invalid(f"Dockerfile line {number}: `{name}` is no Dockerfile instruction.", "build.dockerfilePath")
        body = ""
        if name.upper() in ("RUN", "COPY", "ADD"):
            for ending in [m.group(2) for m in _HEREDOC.finditer(value)]:
                for _, row in lines:
                    if row.strip() == ending:
                        break
                    body += row + "\n"
        found.append(Instruction(name.upper(), value.strip(), number, body))
        if len(found) > MAX_INSTRUCTIONS:
            raise invalid(f"The Dockerfile has more than {MAX_INSTRUCTIONS} instructions.", "build.dockerfilePath")
    return found


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+word}`; an unknown name stays as it is written.
    ArmError when the text grows by more than MAX_EXPANDED."""
    grown = 0

    def value(match: re.Match[str]) -> str:
        nonlocal grown
        found = replacement(match)
        grown += max(0, len(found) - len(match.group()))
        if grown > MAX_EXPANDED:
            raise invalid(f"The variables in `{text[:60]}` stand for more than {MAX_EXPANDED // 1024} KiB.", "build.dockerfilePath")
        return found

    def replacement(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(4)
        if name is None:
            return match.group()
        operator, word = match.group(2) or "", match.group(3) or ""
        known = variables.get(name)
        if operator.endswith("-"):
            return word if known is None or (operator == ":-" and not known) else known
        if operator.endswith("+"):
            return "" if known is None or (operator == ":+" and not known) else word
        return match.group() if known is None else known

    return _VARIABLE.sub(value, text)


def words_of(value: str) -> list[str]:
    """The words of COPY, ENV or a command: JSON form (`["a", "b"]`) or shell quoting."""
    if value.startswith("["):
        try:
            return [str(v) for v in json.loads(value)]
        except ValueError:
            pass
    return [word for command in shell_commands(value) for word in command]


def key_values(value: str) -> Iterator[tuple[str, str]]:
    """The pairs of ENV and ARG: `A=1 B="2 3"` or the old `A rest of line`."""
    if re.match(r"^[A-Za-z_][\w.-]*\s+[^=\s]", value) and not re.match(r"^[A-Za-z_][\w.-]*=", value):
        key, _, rest = value.partition(" ")
        yield key, rest.strip().strip("\"'")
        return
    for word in _tokens(value):
        if isinstance(word, str):
            key, equals, text = word.partition("=")
            if equals:
                yield key, text


def shell_commands(text: str) -> list[list[str]]:
    """The simple commands of a shell line, each as its words, split at `&&`, `||`, `;`, `|`, `&` and newlines. Redirections are dropped,
    except that `package>=1.0` without quotes stays the requirement that its author meant."""
    commands: list[list[str]] = [[]]
    for token in _tokens(text):
        if isinstance(token, str):
            commands[-1].append(token)
        else:
            commands.append([])
    return [c for c in commands if c]


class _Operator:
    """Stands between commands."""


def _tokens(text: str) -> Iterator[str | _Operator]:
    word, started, quote, index = "", False, "", 0
    text = re.sub(r"(?m)(^|\s)#.*$", r"\1", text) if "#" in text else text
    while index < len(text):
        char = text[index]
        if quote:
            if char == quote:
                quote = ""
            elif char == "\\" and quote == '"' and text[index + 1 : index + 2] in ('"', "\\", "$", "`", "\n"):
                index += 1
                word += text[index].replace("\n", "")
            else:
                word += char
        elif char in "\"'":
            quote, started = char, True
        elif char == "\\":
            index += 1
            word += text[index : index + 1].replace("\n", "")
            started = started or bool(word)
        elif text.startswith("$(", index):
            end = _closing(text, index + 2)
            word, started, index = word + text[index : end + 1], True, end
        elif char in "<>" and not (started and word and not word.isdigit() and text[index + 1 : index + 2] in "=0123456789"):
            if word and not word.isdigit():
                yield word
            word, started = "", False
            index = _after_redirection(text, index)
            continue
        elif operator := next((o for o in _OPERATORS if text.startswith(o, index)), None):
            if started or word:
                yield word
            word, started = "", False
            yield _Operator()
            index += len(operator)
            continue
        elif char.isspace():
            if started or word:
                yield word
            word, started = "", False
        else:
            word, started = word + char, True
        index += 1
    if started or word:
        yield word


def _closing(text: str, index: int) -> int:
    depth = 1
    while index < len(text):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index
        index += 1
    return len(text)


def _after_redirection(text: str, index: int) -> int:
    """The index behind `> file`, `2>&1`, `<<EOF` and the like, from the first angle bracket on."""
    found = re.compile(r"[<>]+[&|-]?\s*(\"[^\"]*\"|'[^']*'|[^\s;&|<>]*)").match(text, index)
    return found.end() if found else index + 1
