"""From a package set to a lock: every package with its exact version and hashes, and the interpreter that they are for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from lazward.contract.errors import ArmError
from lazward.domain.package_set import PackageSet, requirement_name
from lazward.execution.cpu_builds import COMPANIONS, cuda_packages, local_cpu_builds
from lazward.execution.interpreters import Choice, Interpreter, Interpreters
from lazward.execution.loosening import loosen
from lazward.execution.pip_settings import IndexSettings
from lazward.execution.resolution import FAILED, Request, Resolution, Unsatisfiable, locked_names, noted
from lazward.execution.uv_tool import Uv

_MAX_REASON = 1800
_TORCH_HOST = "https://download.pytorch.org/whl/cpu"
Log = Callable[[str], None]


class Resolver:
    """Resolves one package set. `gpus` False prefers builds without CUDA; `strict` never loosens what was asked for by name."""

    def __init__(
        self, uv: Uv, interpreters: Interpreters, settings: IndexSettings, work: Path, gpus: bool, log: Log, strict: bool = False
    ):  # fmt: skip
        self.uv, self.interpreters, self.settings, self.work, self.gpus, self.log = uv, interpreters, settings, work, gpus, log
        self.strict = strict
        self._calls = 0

    async def resolve(self, packages: PackageSet, extra: Sequence[str] = (), context: Path | None = None) -> Resolution:
        """Raises ArmError(400, EnvironmentBuildFailed) with the resolver's reason and, where known, the requirement as target."""
        choice = await self.interpreters.choose(packages.python)
        if not choice.candidates:
            raise ArmError(400, FAILED, f"{choice.note[:1].upper()}{choice.note[1:]}.", "python")
        request = Request(packages, tuple(extra), context)
        try:
            found, request = await self._with_any(choice, request)
        except Unsatisfiable as error:
            newer = await self._image_on_newer_python(choice, request)
            if newer is None:
                raise explained(str(error), packages, choice.note) from None
            found = newer
        loosened = found.loosened
        if choice.note:
            found = msgspec.structs.replace(found, notes=(choice.note, *found.notes))
        if not self.gpus or packages.cpu_only:
            found = await self._for_cpu(found, request)
        found = await self._unmixed(found, request)
        return msgspec.structs.replace(found, fallback=not choice.exact, loosened=loosened)

    async def _with_any(self, choice: Choice, request: Request) -> tuple[Resolution, Request]:
        """The Python asked for builds from source where it must. Where another one was taken, or several fit, wheels come first: a
        source build of an old version on a new Python takes minutes and fails."""
        first = choice.candidates[0]
        if choice.asked and not self.strict and request.packages.requirements:
            return await self._in_place_of(choice, request)
        if (choice.exact and len(choice.candidates) == 1) or request.needs_build:
            return await self.ladder(request, first), request
        reason: Unsatisfiable | None = None
        for candidate in choice.candidates:
            try:
                found = await self.ladder(request, candidate, wheels_only=True)
            except Unsatisfiable as error:
                reason = reason or error
                continue
            if candidate != first:
                note = f"Python {candidate.version} is taken: the packages have no wheels for {first.version}"
                found = msgspec.structs.replace(found, notes=(note, *found.notes))
            return found, request
        if reason is not None and "build" not in str(reason) and "wheel" not in str(reason):
            raise reason
        return await self.ladder(request, first), request

    async def _in_place_of(self, choice: Choice, request: Request) -> tuple[Resolution, Request]:
        """With another Python than the one asked for: as it was asked for where wheels have it, else loosened."""
        python = choice.candidates[0]
        if not request.needs_build:
            try:
                return await self.ladder(request, python, wheels_only=True), request
            except Unsatisfiable:
                pass
        found, request = await loosen(self, request, choice.asked, python, self.log)
        if not found.loosened:
            return found, request
        count = f"{len(found.loosened)} version{'s' if len(found.loosened) > 1 else ''}"
        note = (
            f"WARNING: {count} that the environment asks for cannot be had for Python {python.version}; the nearest are taken: "
            f"{', '.join(found.loosened)} (install Python {choice.asked} to have them as they are; the setting environments_strict forbids this)"
        )
        loosened = (f"python {choice.asked} -> {python.version}", *found.loosened)
        return msgspec.structs.replace(found, notes=(note, *found.notes), loosened=loosened), request

    async def _image_on_newer_python(self, choice: Choice, request: Request) -> Resolution | None:
        """An image's packages that the image's Python no longer gets."""
        if request.hard or not request.packages.soft:
            return None
        first = choice.candidates[0]
        for python in await self._newer(first):
            try:
                found = await self.ladder(request, python)
            except Unsatisfiable:
                continue
            return noted(found, f"Python {python.version} is taken: the image's packages are not to be had for {first.version}")
        return None

    async def _newer(self, python: Interpreter) -> list[Interpreter]:
        choice = await self.interpreters.choose(f">{python.minor[0]}.{python.minor[1]}.999")
        return sorted(choice.candidates, key=lambda c: c.minor)

    async def ladder(
        self, request: Request, python: Interpreter, wheels_only: bool = False, more: Sequence[str] = (), prefer: str = ""
    ) -> Resolution:
        """What the image brought is loosened step by step until it fits beside what must hold."""
        levels = request.levels()
        try:
            return Resolution(await self.compile(request, levels[0][1], python, wheels_only, more, prefer), python)
        except Unsatisfiable as error:
            if len(levels) == 1:
                raise
            first = error
        # What must hold alone: where that fails, no loosening helps.
        last = levels[-1]
        if request.hard:
            lock = await self.compile(request, last[1], python, wheels_only, more, prefer)
        else:
            lock = ""
        for note, soft in levels[1:-1]:
            try:
                return Resolution(await self.compile(request, soft, python, wheels_only, more, prefer), python, notes=(note,))
            except Unsatisfiable:
                continue
        if not lock:
            raise first
        return Resolution(lock, python, notes=(last[0],))

    async def compile(
        self, request: Request, soft: Sequence[str], python: Interpreter, wheels_only: bool, more: Sequence[str], prefer: str = ""
    ) -> str:
        """A lock. more: options of uv, and constraints. prefer: a lock whose versions are kept where they fit."""
        self._calls += 1
        source, limits = self.work / f"requirements-{self._calls}.in", self.work / f"constraints-{self._calls}.txt"
        source.write_text("\n".join([*request.lines(), *soft]) + "\n")
        constraints = [*request.packages.constraints, *(m for m in more if not m.startswith("--"))]
        limits.write_text("\n".join(constraints) + "\n")
        arguments = ["pip", "compile", str(source), "--python", python.path, "--no-header", "--no-annotate", "--generate-hashes"]
        arguments += ["-c", str(limits)] if constraints else []
        for path in self.settings.constraint_files:
            arguments += ["-c", path]
        arguments += self.settings.arguments() + [m for m in more if m.startswith("--")]
        if prefer:
            preferred = self.work / f"preferred-{self._calls}.txt"
            preferred.write_text(prefer)
            arguments += ["--output-file", str(preferred)]
        if wheels_only:
            arguments += ["--only-binary", ":all:"]
        else:
            # An image's packages were never built on start: an old version without a wheel is loosened, not built.
            arguments += [word for s in soft for word in ("--only-binary", requirement_name(s)) if requirement_name(s)]
        done = await self.uv.fetch(arguments, self.settings.variables(), None)
        if done.code == 0:
            for line in done.errors.splitlines():
                if line.startswith("warning:"):
                    self.log(line)
            return done.output
        reason = reason_of(done.errors)
        if re.search(r"No solution found|Failed to (download and )?build|building source distributions|requires? Python", done.errors):
            raise Unsatisfiable(reason)
        raise ArmError(400, FAILED, f"The environment could not be resolved: {reason}")

    async def _for_cpu(self, found: Resolution, request: Request) -> Resolution:
        """Without a GPU, builds without CUDA: gigabytes less, the same answers."""
        cuda = cuda_packages(found.lock)
        if not cuda or "UV_TORCH_BACKEND" in self.uv.environ:
            return found
        if "torch" not in locked_names(found.lock):
            return await self._without_nccl(found, request, cuda)
        return (
            await self._local_cpu(found, request, found.python)
            or await self._pytorch_index(found, request)
            or await self._local_cpu_elsewhere(found, request)
            or noted(found, f"no build of torch without CUDA was found: {len(cuda)} CUDA packages are installed, though this "
                                  "machine has no GPU (a folder of CPU wheels in find-links, or UV_TORCH_BACKEND, changes that)")
        )  # fmt: skip

    async def _local_cpu(self, found: Resolution, request: Request, python: Interpreter) -> Resolution | None:
        """A CPU build in a folder of find-links, where everything compiled against torch has one too."""
        for version in local_cpu_builds(self.settings.local_find_links(), "torch", python)[:3]:
            limits = [f"torch=={version}"]
            reduced = request
            for companion in sorted(COMPANIONS & locked_names(found.lock)):
                builds = local_cpu_builds(self.settings.local_find_links(), companion, python)
                if builds:
                    limits.append(f"{companion}=={builds[0]}")
                elif reduced.soft_only(companion):
                    reduced = reduced.without(companion)
                else:
                    return None
            try:
                better = await self.ladder(reduced, python, more=limits)
            except (Unsatisfiable, ArmError):
                continue
            dropped = sorted({requirement_name(s) for s in request.packages.soft} - {requirement_name(s) for s in reduced.packages.soft})
            note = f"this machine has no GPU: torch {version} of the find-links folder is taken"
            if dropped:
                note += f"; {', '.join(dropped)} has no CPU build there and is left out"
            return noted(msgspec.structs.replace(better, notes=found.notes + better.notes), note)
        return None

    async def _unmixed(self, found: Resolution, request: Request) -> Resolution:
        """A CPU build of torch beside a companion built for CUDA fails at import: one of the two has to go."""
        mixed = sorted(c for c in COMPANIONS & locked_names(found.lock) if not re.search(rf"(?m)^{c}==\S+\+cpu", found.lock))
        torch = re.search(r"(?m)^torch==(\S+\+cpu)", found.lock)
        if not torch or not mixed or found.arguments:
            return found
        soft = [c for c in mixed if request.soft_only(c)]
        for companion in soft:
            request = request.without(companion)
        limits = [] if soft == mixed else [f"torch!={torch.group(1)}"]
        try:
            better = await self.ladder(request, found.python, more=limits)
        except (Unsatisfiable, ArmError):
            return found
        note = f"{', '.join(mixed)} has no CPU build beside torch {torch.group(1)}: "
        note += "it is left out" if soft == mixed else "torch is taken with CUDA"
        if limits:  # `==8.0` means 8.0+cpu as well, and prefers it
            better = msgspec.structs.replace(better, lock=re.sub(r"(?m)^torch==", "torch===", better.lock))
        return noted(msgspec.structs.replace(better, notes=found.notes + better.notes), note)

    async def _local_cpu_elsewhere(self, found: Resolution, request: Request) -> Resolution | None:
        """The image's torch on a newer Python for which there is a CPU build here; never where torch was asked for by name."""
        if request.hard and not request.soft_only("torch"):
            return None
        for python in await self._newer(found.python):
            better = await self._local_cpu(found, request, python)
            if better:
                return noted(better, f"Python {python.version} is taken, for which there is a CPU build of torch here")
        return None

    async def _pytorch_index(self, found: Resolution, request: Request) -> Resolution | None:
        """PyTorch's own index of CPU builds, where it can be reached."""
        if self.settings.no_index or self.uv.environ.get("UV_OFFLINE") or not await self.uv.reaches(_TORCH_HOST):
            return None
        arguments = ("--torch-backend", "cpu")
        try:
            better = await self.ladder(request, found.python, more=["--torch-backend=cpu"])
        except (Unsatisfiable, ArmError):
            return None
        better = msgspec.structs.replace(better, arguments=arguments, notes=found.notes + better.notes)
        return noted(better, f"this machine has no GPU: the CPU builds of {urlsplit(_TORCH_HOST).hostname} are taken")

    async def _without_nccl(self, found: Resolution, request: Request, cuda: Sequence[str]) -> Resolution:
        """XGBoost loads NCCL only on GPUs, yet its wheel asks for those hundreds of megabytes."""
        nccl = [name for name in cuda if name.startswith("nvidia-nccl")]
        if len(nccl) != len(cuda) or any(name in {requirement_name(r) for r in request.hard} for name in nccl):
            return found
        excludes = self.work / "excludes.txt"
        excludes.write_text("\n".join(nccl) + "\n")
        try:
            better = await self.ladder(request, found.python, more=[f"--excludes={excludes}"])
        except (Unsatisfiable, ArmError):
            return found
        better = msgspec.structs.replace(better, notes=found.notes + better.notes)
        return noted(better, f"this machine has no GPU: {', '.join(nccl)} is left out")


def reason_of(errors: str) -> str:
    """uv's own explanation as one paragraph, without hints at options of uv that nobody here can give."""
    errors = errors[max(re.search(r"(?m)^\s*(error:|×)|\Z", errors).start(), 0) :] or errors  # type: ignore[union-attr]
    paragraphs = [p for p in re.split(r"\n\s*\n|\n(?=hint:)", errors) if not (p.startswith("hint:") and "`--" in p)]
    errors = "\n".join(paragraphs)
    lines = [re.sub(r"^[\s×╰─▶│├]*(error:|cause:|Caused by:)?\s*", "", line) for line in errors.splitlines() if not line.startswith("warning:")]
    text = " ".join(line for line in lines if line)
    text = re.sub(r"\s+", " ", text.replace("we can conclude that your requirements are unsatisfiable", "the requirements cannot be met"))
    return text if len(text) <= _MAX_REASON else f"{text[: _MAX_REASON // 2]} ... {text[-_MAX_REASON // 2 :]}"


def explained(reason: str, packages: PackageSet, *notes: str) -> ArmError:
    """The error of a package set that cannot be had: uv's reason, the requirement that it is about, and where that is asked for."""
    named = []
    for requirement in packages.requirements:
        name = requirement_name(requirement)
        found = re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", reason, re.IGNORECASE) if name else None
        if found:
            pinned = requirement.split(";")[0].replace(" ", "") in reason.replace(" ", "")
            named.append((not pinned, found.start(), requirement, name))
    target = min(named)[2] if named else None
    where = packages.origins.get(min(named)[3], "") if named else ""
    message = f"The environment cannot be built: {reason.rstrip('.')}."
    if where:
        message += f" It is asked for at {where}."
    for note in notes:
        message += f" {note[:1].upper()}{note[1:]}." if note else ""
    return ArmError(400, FAILED, message, target)
