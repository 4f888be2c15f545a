"""conda environment files (`name`, `channels`, `dependencies`, `variables`) in the words of pip."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import yaml
from packaging.version import InvalidVersion, Version

from lazward.domain.conda_packages import CPU_BUILDS, is_not_python, pypi_name
from lazward.domain.package_set import Draft, invalid
from lazward.domain.requirements_file import Local, PipReader, Place, Reader, checked_requirement

MAX_BYTES = 512 * 1024
_KNOWN = {"name", "channels", "dependencies", "variables", "prefix", "platforms"}


class CondaEntry(msgspec.Struct, frozen=True):
    """An entry of `dependencies`: a match spec, or (pip=True) a line of a `pip:` list."""

    text: str
    place: Place
    pip: bool = False


class MatchSpec(msgspec.Struct, frozen=True):
    """A conda match spec. `clauses` is the version part in PEP 440 ("" any, "==1.21.*", ">=1.1,<2")."""

    name: str
    clauses: str
    channel: str = ""
    build: str = ""
    extras: str = ""
    note: str = ""


def read_conda_file(content: str | Mapping[str, Any], field: str, draft: Draft, read: Reader, local: Local) -> None:
    """Adds a conda file to the draft. `field` names it in errors ("condaFile", or a path of the build context)."""
    document = _Document(content, field)
    for key, value in document.variables():
        draft.env[key] = value
    channels = document.channels()
    if channels:
        draft.note(f"{field}: channels {', '.join(channels)} are not asked: the packages come from the package index of this server")
    pip = PipReader(draft, read, local)
    entries = list(document.entries())
    for entry in entries:
        if not entry.pip:
            add_spec(parse_match_spec(entry.text, entry.place), entry, draft)
    draft.next_layer()
    for entry in entries:
        if entry.pip:
            pip.line(entry.text, entry.place)


def add_spec(spec: MatchSpec, entry: CondaEntry, draft: Draft) -> None:
    where = f"{entry.place.text} (`{entry.text}`)"
    if spec.note:
        draft.note(f"{where}: {spec.note}")
    if spec.name == "python":
        draft.python = _python_request(spec.clauses)
        return
    if is_not_python(spec.name):
        reason = "is no Python package, and without containers only Python packages can be installed"
        raise invalid(f"{entry.place.text}: `{entry.text}` {reason}.", entry.place.target)
    if spec.name in CPU_BUILDS or "cpu" in spec.build:
        draft.cpu_only = True
    name = pypi_name(spec.name)
    if name is None:
        draft.note(f"{where} is no Python package and is left out: wheels bring the libraries they need")
        return
    extras = "" if "[" in name else spec.extras
    draft.require(checked_requirement(f"{name}{extras}{spec.clauses}", entry.place), where)


def _python_request(clauses: str) -> str:
    """"==3.8.*" -> "3.8", "==3.8.5" -> "3.8.5", "==3.*" -> ""; anything else stays a specifier set."""
    only = re.fullmatch(r"==(\d+(?:\.\d+)*)(\.\*)?", clauses)
    if not only:
        return clauses
    parts = only.group(1).split(".")
    return "" if len(parts) == 1 else ".".join(parts[:3])


def parse_match_spec(text: str, place: Place) -> MatchSpec:
    """`conda-forge::numpy[version='>=1.21']`, `numpy 1.21.* py38_0`, `numpy=1.21=py38_0`, `numpy>=1.1,<2`, ..."""
    rest = re.split(r"\s+#", text.strip(), maxsplit=1)[0]
    if re.match(r"^\w+://.*\.(tar\.bz2|conda)$", rest) or re.search(r"\.(tar\.bz2|conda)$", rest):
        raise invalid(f"{place.text}: `{text}` is a conda archive, which pip cannot install; name the package.", place.target)
    inside: dict[str, str] = {}
    extras = ""
    bracket = re.fullmatch(r"([^\[]*)\[([^\]]*)\](.*)", rest)
    if bracket:
        head, body, tail = bracket.groups()
        inside = {k: v for k, _, v in re.findall(r"([\w-]+)\s*=\s*(['\"]?)([^'\"]*?)\2\s*(?:,(?=\s*[\w-]+\s*=)|$)", body)}
        extras = "" if inside else f"[{body}]"  # pip's extras, which conda does not know
        rest = head + (tail or "")
    channel, _, rest = rest.rpartition("::")
    named = re.fullmatch(r"\s*([A-Za-z0-9_][A-Za-z0-9_.-]*?)\s*(?:([=<>!~\s].*))?", rest)
    if not named:
        raise invalid(f"{place.text}: `{text}` is no conda package specification.", place.target)
    name, constraint = named.group(1).lower(), (named.group(2) or "").strip()
    version, build, fuzzy = _version_and_build(constraint)
    if "version" in inside:
        version, fuzzy = inside["version"], False
    clauses, note = _clauses(version, fuzzy, text, place)
    return MatchSpec(name, clauses, inside.get("channel", channel), inside.get("build", build), extras, note)


def _version_and_build(constraint: str) -> tuple[str, str, bool]:
    """(version, build, fuzzy): `=1.21` is fuzzy (1.21.anything), `=1.21=build`, `==1.21` and ` 1.21` are exact."""
    tight = re.sub(r"\s*([,|])\s*", r"\1", re.sub(r"([=<>!~])\s+", r"\1", constraint))
    first, _, second = tight.partition(" ")
    if second:
        return first.lstrip("="), second.strip().lstrip("="), False
    if tight.startswith("=="):
        version, _, build = tight[2:].partition("=")
        return f"=={version}", build, False
    if tight.startswith("="):
        version, equals, build = tight[1:].partition("=")
        return version, build, not equals
    split = re.fullmatch(r"(.*?[^=<>!~])=([^=<>!~].*)", tight)
    if split and not re.search(r"[,|]", split.group(2)):  # >=1.21=py38*
        return split.group(1), split.group(2), False
    return tight, "", False


def _clauses(version: str, fuzzy: bool, text: str, place: Place) -> tuple[str, str]:
    """(PEP 440 clauses, note)."""
    version = version.strip("()")
    if version in ("", "*"):
        return "", ""
    alternatives = version.split("|")
    note = ""
    if len(alternatives) > 1:
        note = f"of the alternatives, `{alternatives[-1]}` is taken"
    converted = [_clause(c, fuzzy, text, place) for c in alternatives[-1].split(",") if c]
    return ",".join(c for c in converted if c), note


def _clause(clause: str, fuzzy: bool, text: str, place: Place) -> str:
    operator, version = re.match(r"^(==|>=|<=|!=|~=|=|<|>)?(.*)$", clause).groups()  # type: ignore[union-attr]
    if version == "*":
        return ""
    starred = version.endswith("*")
    version = version.removesuffix("*").rstrip(".")
    try:
        parsed = Version(version)
    except InvalidVersion:
        message = f"{place.text}: `{text}`: the version `{clause}` has no counterpart on a Python package index."
        raise invalid(message, place.target) from None
    prefix = starred or operator == "=" or (fuzzy and operator is None)
    plain = parsed.pre is None and parsed.post is None and parsed.dev is None and parsed.local is None
    if operator in (None, "=", "==", "!="):
        sign = "!=" if operator == "!=" else "=="
        return f"{sign}{version}{'.*' if prefix and plain else ''}"
    if operator == "~=" and len(parsed.release) == 1:
        return f">={version},<{parsed.release[0] + 1}"
    return f"{operator}{version}"


class _Document:
    """The YAML with line numbers, or the dictionary with positions, read the same way."""

    def __init__(self, content: str | Mapping[str, Any], field: str):
        self.field = field
        self.root = _compose(content, field) if isinstance(content, str) else None
        if self.root is not None and not isinstance(self.root, yaml.MappingNode):
            raise invalid(f"{field}: a conda file is a mapping with `dependencies`, not a list or a text.", field)
        self.values: dict[str, Any] = dict(content) if isinstance(content, Mapping) else {}
        if self.root is not None:
            self.values = {self._text(k, "a key"): v for k, v in self.root.value}
        unknown = sorted(str(k) for k in self.values if k not in _KNOWN)
        if unknown and not _KNOWN & self.values.keys():
            raise invalid(f"{field}: no conda file: found {', '.join(unknown)}, expected name, channels, dependencies.", field)

    def channels(self) -> list[str]:
        return [str(text) for text, _ in self._items("channels")]

    def variables(self) -> Iterator[tuple[str, str]]:
        value = self.values.get("variables")
        if value is None or (isinstance(value, yaml.ScalarNode) and not value.value):
            return
        if isinstance(value, yaml.MappingNode):
            for key, item in value.value:
                yield self._text(key, "a variable's name"), self._text(item, "a variable's value")
        elif isinstance(value, Mapping):
            for key, item in value.items():
                yield str(key), str(item)
        else:
            raise invalid(f"{self.field}: `variables` is a mapping of names to values.", f"{self.field}.variables")

    def entries(self) -> Iterator[CondaEntry]:
        for item, place in self._items("dependencies"):
            if isinstance(item, str):
                yield CondaEntry(item, place)
                continue
            for line, inner in item:
                yield CondaEntry(line, inner, pip=True)

    def _items(self, key: str) -> Iterator[tuple[Any, Place]]:
        value = self.values.get(key)
        if value is None or (isinstance(value, yaml.ScalarNode) and value.tag.endswith(":null")):
            return
        items = value.value if isinstance(value, yaml.SequenceNode) else value
        if not isinstance(items, list | tuple):
            raise invalid(f"{self._place(value, key).text}: `{key}` is a list.", f"{self.field}.{key}")
        for index, item in enumerate(items):
            target = f"{self.field}.{key}[{index}]"
            place = self._place(item, target)
            pip = self._pip_list(item, place)
            yield (self._text(item, f"an entry of `{key}`", place) if pip is None else pip), place

    def _pip_list(self, item: Any, place: Place) -> list[tuple[str, Place]] | None:
        """The lines of a `pip:` mapping with their places, None when the item is no mapping."""
        if isinstance(item, yaml.MappingNode):
            pairs = [(self._text(k, "a key", place), v) for k, v in item.value]
        elif isinstance(item, Mapping):
            pairs = list(item.items())
        else:
            return None
        lines: list[tuple[str, Place]] = []
        for key, value in pairs:
            if key != "pip":
                message = f"{place.text}: `{key}:` is no conda package; only `pip:` has a list (write `{key}=...`)."
                raise invalid(message, place.target)
            rows = value.value if isinstance(value, yaml.SequenceNode) else value
            if rows is None or (isinstance(value, yaml.ScalarNode) and value.tag.endswith(":null")):
                continue
            if not isinstance(rows, list | tuple):
                raise invalid(f"{place.text}: `pip` is a list.", place.target)
            for index, row in enumerate(rows):
                inner = self._place(row, f"{place.target}.pip[{index}]")
                lines.append((self._text(row, "an entry of `pip`", inner).strip(), inner))
        return [(text, where) for text, where in lines if text and not text.startswith("#")]

    def _text(self, item: Any, what: str, place: Place | None = None) -> str:
        place = place or self._place(item, self.field)
        if isinstance(item, yaml.ScalarNode) and not item.tag.endswith(":null"):
            return item.value
        if isinstance(item, str | int | float) and not isinstance(item, bool):
            return str(item)
        raise invalid(f"{place.text}: {what} is a text.", place.target)

    def _place(self, item: Any, target: str) -> Place:
        if isinstance(item, yaml.Node):
            return Place(target, f"{self.field} line {item.start_mark.line + 1}")
        return Place(target, target)


def _compose(text: str, field: str) -> yaml.Node | None:
    if len(text.encode()) > MAX_BYTES:
        raise invalid(f"{field}: the file is larger than {MAX_BYTES // 1024} KiB.", field)
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise invalid(f"{field}{where}: not valid YAML: {error.problem or error.context}.", field) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise invalid(f"{field}: not valid YAML: {str(error).splitlines()[0]}.", field) from None
