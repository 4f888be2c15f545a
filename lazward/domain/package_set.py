"""What an environment document says (EnvironmentSpec) and what it means on a machine without containers (PackageSet)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from lazward.contract.errors import ArmError

LOCAL = "context:"  # how a requirement begins that is a file or folder of the build context
INVALID = "InvalidEnvironment"  # the error code of everything that cannot be translated

FileContent = str | bytes | Callable[[], str | bytes]


class EnvironmentSpec(msgspec.Struct, frozen=True):
    """An environment version. `context_files` has every file of the build context by its relative path with forward slashes;
    the values are read only for the files that the Dockerfile or conda file names. `dockerfile` is the Dockerfile's text."""

    name: str = ""
    version: str = ""
    image: str | None = None
    conda_file: str | Mapping[str, Any] | None = None
    dockerfile: str | None = None
    context_files: Mapping[str, FileContent] | None = None


class PackageSet(msgspec.Struct, frozen=True):
    """A Python environment in the words of pip.

    python        "" (any), "3.10", "3.10.4" or a PEP 440 specifier set such as ">=3.8,<3.12"
    requirements  PEP 508 lines that must hold. A path inside the build context is written `context:dist/x.whl`
    soft          what the image brought: kept where it can be had beside `requirements`, else loosened, then left out
    constraints   lines of `-c` files
    options       pip options found in files, one a line: `--index-url URL`, `--extra-index-url URL`, `--find-links X`, `--no-index`,
                  `--pre`, `--only-binary X`, `--no-binary X`, `--trusted-host H`
    env           environment variables that the document sets for everything that runs in the environment
    notes         sentences for the build log: what was taken differently from what a container would have had
    origins       canonical package name -> where the document asks for it, for error messages
    cpu_only      the document asks for CPU builds, whatever the machine has
    """

    python: str = ""
    requirements: tuple[str, ...] = ()
    soft: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    env: Mapping[str, str] = msgspec.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    origins: Mapping[str, str] = msgspec.field(default_factory=dict)
    cpu_only: bool = False


def invalid(message: str, target: str) -> ArmError:
    return ArmError(400, INVALID, message, target)


def requirement_name(text: str) -> str:
    """The canonical package name of a requirement line, "" where only a build could tell (a bare URL or path)."""
    try:
        return canonicalize_name(Requirement(text.split(" --hash", 1)[0]).name)
    except InvalidRequirement:
        return ""


class Draft:
    """A package set in the making. Entries come in layers (the conda list, then its pip list; each RUN of a Dockerfile): as with pip,
    a later layer replaces an earlier entry of the same package, unless the later one states no version."""

    def __init__(self, base: PackageSet | None = None):
        base = base or PackageSet()
        self.python = base.python
        self.soft = list(base.soft)
        self.constraints = list(base.constraints)
        self.options = list(base.options)
        self.env = dict(base.env)
        self.notes = list(base.notes)
        self.cpu_only = base.cpu_only
        self.origins = dict(base.origins)
        self._entries: list[tuple[int, str, str]] = [(0, requirement_name(r), r) for r in base.requirements]
        self._layer = 0

    def next_layer(self) -> None:
        self._layer += 1

    def require(self, text: str, origin: str, upgrade: bool = False) -> None:
        name = requirement_name(text)
        older = [e for e in self._entries if name and e[1] == name and e[0] < self._layer]
        if older:
            if not upgrade and not _states_version(text):
                return  # pip: "Requirement already satisfied"
            self._entries = [e for e in self._entries if e not in older]
            if older[-1][2] != text:
                self.note(f"{origin} replaces the earlier `{older[-1][2]}`")
        if (self._layer, name, text) not in self._entries:
            self._entries.append((self._layer, name, text))
        if name:
            self.origins[name] = origin

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def freeze(self) -> PackageSet:
        names = {name for _, name, _ in self._entries if name}
        return PackageSet(
            python=self.python,
            requirements=tuple(text for _, _, text in self._entries),
            soft=tuple(s for s in self.soft if requirement_name(s) not in names),
            constraints=tuple(dict.fromkeys(self.constraints)),
            options=tuple(dict.fromkeys(self.options)),
            env=self.env,
            notes=tuple(self.notes),
            origins=self.origins,
            cpu_only=self.cpu_only,
        )


def _states_version(text: str) -> bool:
    requirement = Requirement(text.split(" --hash", 1)[0])
    return bool(requirement.specifier or requirement.url or requirement.extras)
