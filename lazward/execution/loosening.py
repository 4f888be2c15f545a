"""Versions that were pinned for a Python which this machine does not have, and that have no build for the one it has.

What can be kept is kept: a pin that has a wheel here, or that only ever came as source. The others become the nearest version that has
a wheel, and what comes with them stays as near to the other Python's as it can. What cannot be resolved for the Python asked for is
wrong by itself: nothing is loosened."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from lazward.domain.package_set import PackageSet, requirement_name
from lazward.execution.interpreters import Interpreter
from lazward.execution.resolution import Request, Resolution, Unsatisfiable, locked_names

_MAX_BUILT = 20  # packages without a wheel that are looked for one by one
_QUICK = ("--no-deps", "--no-generate-hashes")
_FLOORS = {  # the oldest that run at all on a Python: (of the Python, version)
    "pip": ((3, 12), "23.1.2"),
    "setuptools": ((3, 12), "66.1.0"),
}


class Resolves(Protocol):
    """What of resolve.Resolver is used here: uv, asked once; and with the image's packages loosened step by step."""

    async def compile(
        self, request: Request, soft: Sequence[str], python: Interpreter, wheels_only: bool, more: Sequence[str], prefer: str = ""
    ) -> str: ...

    async def ladder(
        self, request: Request, python: Interpreter, wheels_only: bool = False, more: Sequence[str] = (), prefer: str = ""
    ) -> Resolution: ...


async def loosen(resolver: Resolves, request: Request, asked: str, python: Interpreter, log: Callable[[str], None]) -> tuple[Resolution, Request]:
    """The packages for `python` in place of the version `asked` ("3.8"), and the request that they are for. Raises Unsatisfiable with the
    reason of the Python asked for where that fails already, else with the reason of the Python at hand."""
    log(f"resolving for Python {asked} first: what is impossible there is not loosened")
    work = _Loosening(resolver, msgspec.structs.replace(request, extra=()), asked, python)
    work.lock = await work.compiled((), f"--python-version={asked}")
    built = await work.without_wheels(work.lock, f"--python-version={asked}")
    outgrown = await work.outgrown(built)
    try:
        return await work.settled(request, built - outgrown)
    except Unsatisfiable:
        if not outgrown:
            raise
        return await work.settled(request, built)


class _Loosening:
    """`request` without what Lazward adds, so that a job and a deployment of one environment are loosened alike."""

    def __init__(self, resolver: Resolves, request: Request, asked: str, python: Interpreter):
        self.resolver, self.request, self.asked, self.python = resolver, request, asked, python
        self.older = python.minor < tuple(int(n) for n in asked.split(".")[:2])
        self.pins = {requirement_name(r): r for r in request.packages.requirements if _is_pin(r)}
        self.lock = ""  # for the Python asked for
        self.wheels: list[str] = []  # options: what is not built from source

    async def compiled(self, requirements: Sequence[str], *more: str) -> str:
        """A lock of the requirements; () means all of the environment's."""
        request = self._with(requirements) if requirements else self.request
        return await self.resolver.compile(request, (), self.python, False, more)

    async def without_wheels(self, lock: str, *more: str) -> set[str]:
        """Names in a lock that have no wheel for that Python: they are built from source in any case."""
        lines = {requirement_name(line): line for line in _locked(lock)}
        return await self.wheelless(lines, _MAX_BUILT, *more)

    async def wheelless(self, lines: dict[str, str], most: int, *more: str) -> set[str]:
        """Of these requirements, by name, those without a wheel: `most` of them at the most, as uv names one at a time."""
        left, found = dict(lines), set[str]()
        while left and len(found) < most:
            try:
                await self.resolver.compile(self._with(tuple(left.values())), (), self.python, True, (*_QUICK, *more))
                break
            except Unsatisfiable as error:
                words = [canonicalize_name(word) for word in re.findall(r"[A-Za-z0-9][\w.-]*", str(error))]
                name = next((word for word in words if word in left), None)
                if name is None:
                    break
                found.add(name)
                del left[name]
        return found

    async def outgrown(self, built: set[str]) -> set[str]:
        """Those of the built packages that have wheels by now: their old source is for an old Python, and may build and yet not run here."""
        found = set()
        for name in built:
            try:
                await self.resolver.compile(self._with((name,)), (), self.python, True, _QUICK)
                found.add(name)
            except Unsatisfiable:
                continue
        return found

    async def settled(self, request: Request, built: set[str]) -> tuple[Resolution, Request]:
        """Loosens what has to be until the rest fits. built: what may be built from source."""
        self.wheels = [f"--only-binary={name}" for name in sorted(locked_names(self.lock) - built)]
        loose = await self.unfit(built)
        for _ in range(len(self.pins) + 1):
            try:
                return await self.resolved(request, loose)
            except Unsatisfiable as error:
                named = {name for name in self.pins if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", str(error), re.IGNORECASE)} - loose
                if not named:
                    raise
                loose |= named
        raise Unsatisfiable(f"no versions were found for Python {self.python.version}")

    async def unfit(self, built: set[str]) -> set[str]:
        """Pins that have a wheel for the Python asked for and none for this one, or that do not run on this one."""
        lines = {name: requirement for name, requirement in self.pins.items() if name not in built}
        found = {name for name, (since, floor) in _FLOORS.items() if name in lines and self.python.minor >= since and _below(lines[name], floor)}
        return found | await self.wheelless({name: line for name, line in lines.items() if name not in found}, len(lines))

    async def resolved(self, request: Request, loose: set[str]) -> tuple[Resolution, Request]:
        """All packages, with the nearest versions of the loose ones: those that go together, the other pins and their needs kept."""
        near = await self._nearest(loose) if loose else {}
        lines = tuple(near.get(requirement_name(r), r) for r in request.packages.requirements)
        fitted = msgspec.structs.replace(request, packages=msgspec.structs.replace(request.packages, requirements=lines))
        found = await self.resolver.ladder(fitted, self.python, more=self.wheels, prefer=self.lock)
        changes = [(self.pins[name], line) for name, line in sorted(near.items())]
        return msgspec.structs.replace(found, loosened=tuple(_change(old, new) for old, new in changes if _differs(old, new))), fitted

    async def _nearest(self, loose: set[str]) -> dict[str, str]:
        """Name -> requirement with the version nearest to the pin."""
        lines, limits = [], []
        for requirement in self.request.packages.requirements:
            name = requirement_name(requirement)
            if name in loose:
                lines.append(_wider(requirement, self.older, _FLOORS[name][1] if name in _FLOORS and self.python.minor >= _FLOORS[name][0] else ""))
            elif not name or _is_exact(requirement) or "@" in requirement:
                lines.append(requirement)
            elif str(Requirement(requirement).specifier):
                limits.append(f"{name}{Requirement(requirement).specifier}")  # a range would be taken at its lowest, too
        lowest = () if self.older else ("--resolution=lowest-direct",)
        lock = await self.compiled(tuple(lines), "--no-generate-hashes", *self.wheels, *lowest, *limits)
        versions = {requirement_name(line): line.partition("==")[2] for line in _locked(lock)}
        return {name: _exactly(self.pins[name], versions[name]) for name in loose if name in versions}

    def _with(self, requirements: Sequence[str]) -> Request:
        packages = PackageSet(requirements=tuple(requirements), constraints=self.request.packages.constraints)
        return Request(packages, (), self.request.context)


def _locked(lock: str) -> list[str]:
    """The lines NAME==VERSION of a lock."""
    return re.findall(r"(?m)^[A-Za-z0-9][\w.-]*==[^\s;\\]+", lock)


def _read(requirement: str) -> Requirement:
    return Requirement(requirement.split(" --hash", 1)[0])


def _is_pin(requirement: str) -> bool:
    """Whether the line states versions of a package of an index."""
    try:
        found = _read(requirement)
    except InvalidRequirement:
        return False
    return bool(found.specifier) and not found.url


def _is_exact(requirement: str) -> bool:
    return any(s.operator in ("==", "===") for s in _read(requirement).specifier)


def _stated(requirement: str) -> str:
    """ "==1.21.2.*" -> "1.21.2", ">=1.1,<1.2" as it is."""
    specifiers = list(_read(requirement).specifier)
    if len(specifiers) == 1 and specifiers[0].operator in ("==", "==="):
        return specifiers[0].version.removesuffix(".*")
    return ",".join(sorted(str(s) for s in specifiers))


def _bounds(requirement: str) -> list[Version]:
    return [Version(s.version.removesuffix(".*")) for s in _read(requirement).specifier if s.operator not in ("!=", "===")]


def _below(requirement: str, floor: str) -> bool:
    bounds = [s for s in _read(requirement).specifier if s.operator in ("==", "~=", "<", "<=")]
    return any(Version(s.version.removesuffix(".*")) < Version(floor) for s in bounds)


def _wider(requirement: str, older: bool, floor: str = "") -> str:
    """From the lowest version that was asked for upwards; for a Python older than the one asked for, from the highest downwards."""
    found, bounds = _read(requirement), _bounds(requirement)
    text = found.name + (f"[{','.join(sorted(found.extras))}]" if found.extras else "")
    if bounds and older:
        text += f"<={max(bounds)}"
    elif bounds:
        text += f">={max(min(bounds), Version(floor)) if floor else min(bounds)}"
    text += "".join(f",{s}" for s in found.specifier if s.operator == "!=") if bounds else ""
    return text + (f"; {found.marker}" if found.marker else "")


def _exactly(requirement: str, version: str) -> str:
    found = _read(requirement)
    extras = f"[{','.join(sorted(found.extras))}]" if found.extras else ""
    return f"{found.name}{extras}=={version}" + (f"; {found.marker}" if found.marker else "")


def _differs(requirement: str, exact: str) -> bool:
    version = next(iter(_read(exact).specifier)).version
    return not _read(requirement).specifier.contains(version, prereleases=True)


def _change(requirement: str, exact: str) -> str:
    return f"{requirement_name(requirement)} {_stated(requirement)} -> {next(iter(_read(exact).specifier)).version}"
