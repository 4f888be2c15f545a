"""What is resolved and what comes of it: the words that resolve.py and loosening.py share."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import msgspec
from packaging.requirements import Requirement

from lazward.contract.errors import ArmError
from lazward.domain.package_set import PackageSet, requirement_name
from lazward.execution.interpreters import Interpreter

FAILED = "EnvironmentBuildFailed"


class Resolution(msgspec.Struct, frozen=True):
    """`lock` is a requirements file with versions and hashes, `arguments` what its installation needs besides; `notes` say what was
    taken differently from what was asked for; `fallback` that another Python was taken than the one asked for; `loosened` has what was
    asked for by name and could not be had for that Python: "numpy 1.21.2 -> 1.23.2"."""

    lock: str
    python: Interpreter
    arguments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fallback: bool = False
    loosened: tuple[str, ...] = ()


class Unsatisfiable(Exception):
    """The resolver found no set of versions, or a package could not be built; the reason is the resolver's."""


class Request(msgspec.Struct, frozen=True):
    """A package set with what Lazward adds to it."""

    packages: PackageSet
    extra: tuple[str, ...]
    context: Path | None

    @property
    def hard(self) -> tuple[str, ...]:
        return (*self.packages.requirements, *self.extra)

    @property
    def needs_build(self) -> bool:
        """Whether something can only be had by building it: a repository, an archive, a folder."""
        return any(re.match(r"^(git|hg|svn|bzr)\+|^context:(?!.*\.whl)", r) or " @ git+" in r for r in self.hard)

    def lines(self) -> list[str]:
        return [self._located(r) for r in self.hard]

    def _located(self, requirement: str) -> str:
        if not requirement.startswith("context:"):
            return requirement
        if self.context is None:
            raise ArmError(400, FAILED, f"`{requirement}` is a file of the build context, which is not at hand.", requirement)
        path, bracket, extras = requirement.removeprefix("context:").partition("[")
        absolute = (self.context / path).resolve()
        if not absolute.is_relative_to(self.context.resolve()) or not absolute.exists():
            raise ArmError(400, FAILED, f"`{path}` is not in the build context.", requirement)
        text = str(absolute)
        return (f"file://{quote(text)}" if " " in text else text) + bracket + extras

    def levels(self) -> list[tuple[str, tuple[str, ...]]]:
        """(note, soft requirements) from the image's own versions to none of them. pip is always there; setuptools before 81 carries
        pkg_resources, which many packages of the years before 2025 import without saying so."""
        asked = {requirement_name(r) for r in self.hard}
        soft = tuple(s for s in self.packages.soft if requirement_name(s) not in asked)
        pip = () if "pip" in asked else ("pip",)
        tools = (*pip, *(() if "setuptools" in asked else ("setuptools<81",)))
        found = [
            ("", (*soft, *tools)),
            ("a newer setuptools is taken: another package needs it", (*soft, *(t.split("<")[0] for t in tools))),
            ("the image's versions do not fit here: newer ones of the same packages are taken", (*(_at_least(s) for s in soft), *pip)),
            ("the image's versions do not fit here: any version of the same packages is taken", (*(_name_only(s) for s in soft), *pip)),
            ("the image's other packages do not fit beside what is asked for and are left out", pip),
        ]
        if not soft:
            found = [found[0], found[1], ("setuptools is not to be had and is left out", pip)]
        seen: set[tuple[str, ...]] = set()
        kept = [level for level in found if not (level[1] in seen or seen.add(level[1]))]
        return kept if self.hard or not soft else kept[:-1]  # an image without its packages is no answer

    def soft_only(self, name: str) -> bool:
        return name not in {requirement_name(r) for r in self.hard} and name in {requirement_name(s) for s in self.packages.soft}

    def without(self, name: str) -> Request:
        soft = tuple(s for s in self.packages.soft if requirement_name(s) != name)
        return msgspec.structs.replace(self, packages=msgspec.structs.replace(self.packages, soft=soft))


def noted(found: Resolution, note: str) -> Resolution:
    return msgspec.structs.replace(found, notes=(*found.notes, note))


def _at_least(soft: str) -> str:
    """`x==1.5.*` and `x~=1.5.0` become `x>=1.5`; upper limits stay."""
    return re.sub(r"(==|~=)(\d+(?:\.\d+)*?)(?:\.\*|\.0)?(?=,|;|$)", r">=\2", soft)


def _name_only(soft: str) -> str:
    requirement = Requirement(soft)
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return requirement.name + extras


def locked_names(lock: str) -> set[str]:
    return {requirement_name(line.split(" ", 1)[0]) for line in lock.splitlines() if line[:1].isalnum()}
