"""A Docker build context as a package set: the base image's packages plus what the RUN lines install with pip and conda."""

from __future__ import annotations

import posixpath
import re

from lazward.domain.conda_file import CondaEntry, add_spec, parse_match_spec, read_conda_file
from lazward.domain.context_files import ContextFiles
from lazward.domain.dockerfile import Instruction, expand, key_values, parse_dockerfile, shell_commands, words_of
from lazward.domain.images import image_packages
from lazward.domain.package_set import Draft, PackageSet, invalid
from lazward.domain.requirements_file import PipReader, Place, logical_lines

_TARGET = "build.dockerfilePath"
_PREFIXES = {"sudo", "env", "exec", "time", "then", "else", "do", "if", "elif", "!", "{", "command", "nice", "xvfb-run"}
_SYSTEM = {"apt-get", "apt", "apk", "yum", "dnf", "microdnf", "zypper", "tdnf", "aptitude"}
_HARMLESS = {
    "rm", "mkdir", "echo", "chmod", "chown", "ln", "ldconfig", "true", "set", "test", "[", "which", "pwd", "ls", "find", "fi", "done", ".",
    "source", "activate", "deactivate", "printf", "cat", "touch", "hash", "exit", "umask", "groupadd", "useradd", "adduser", "addgroup",
    "}", "locale-gen", "update-ca-certificates", "case", "esac", "sed", "mv", "trap", "shopt", "type", "date",
}  # fmt: skip
_LOADER_VARIABLES = re.compile(
    r"^(PATH|LD_LIBRARY_PATH|LD_PRELOAD|PYTHONHOME|PYTHONPATH|HOME|USER|SHELL|PWD|TMPDIR|VIRTUAL_ENV|CONDA_.*|AZUREML_CONDA_.*|MAMBA_.*"
    r"|LIBRARY_PATH|CPATH|MANPATH|PKG_CONFIG_PATH|LC_ALL|LANG|DEBIAN_FRONTEND|JAVA_HOME|CUDA_HOME|CUDA_PATH)$"
)
_PIP_VARIABLES = {
    "PIP_INDEX_URL": "--index-url", "PIP_EXTRA_INDEX_URL": "--extra-index-url", "PIP_FIND_LINKS": "--find-links",
    "PIP_TRUSTED_HOST": "--trusted-host",
}  # fmt: skip
_CONDA_VALUES = {"-n", "--name", "-p", "--prefix", "-c", "--channel", "--solver", "--cwd", "-r", "--root-prefix", "--platform"}


def read_build_context(dockerfile: str, files: ContextFiles) -> PackageSet:
    """The last stage of the Dockerfile. Raises ArmError that names the Dockerfile's line."""
    stages: dict[str, _Stage] = {}
    arguments: dict[str, str] = {}
    stage: _Stage | None = None
    for instruction in parse_dockerfile(dockerfile):
        if instruction.name == "ARG" and stage is None:
            arguments.update(key_values(expand(instruction.value, arguments)))
        elif instruction.name == "FROM":
            stage = _from(instruction, arguments, stages, files)
        elif stage is None:
            raise invalid(f"Dockerfile line {instruction.line}: `{instruction.name}` stands before the first FROM.", _TARGET)
        else:
            stage.apply(instruction, arguments)
    if stage is None:
        raise invalid("The Dockerfile has no FROM instruction.", _TARGET)
    if stage.left_out:
        left_out = ", ".join(dict.fromkeys(stage.left_out))
        stage.draft.note(f"Dockerfile: ENV {left_out} means places or settings of the container and is not set")
    return stage.draft.freeze()


def _from(instruction: Instruction, arguments: dict[str, str], stages: dict[str, _Stage], files: ContextFiles) -> _Stage:
    words = [w for w in expand(instruction.value, arguments).split() if not w.startswith("--")]
    if not words:
        raise invalid(f"Dockerfile line {instruction.line}: FROM names no image.", _TARGET)
    earlier = stages.get(words[0].lower())
    stage = earlier.copy() if earlier else _Stage(Draft(image_packages(words[0])), files)
    stages[str(len({id(s) for s in stages.values()}))] = stage
    if len(words) >= 3 and words[1].upper() == "AS":
        stages[words[2].lower()] = stage
    return stage


class _Stage:
    """One build stage: its packages so far, its variables and where COPY put the files of the context."""

    def __init__(self, draft: Draft, files: ContextFiles):
        self.draft, self.files = draft, files
        self.variables: dict[str, str] = {}
        self.folder = "/"
        self.left_out: list[str] = []

    def copy(self) -> _Stage:
        other = _Stage(Draft(self.draft.freeze()), self.files.copy())
        other.variables, other.folder = dict(self.variables), self.folder
        other.left_out = list(self.left_out)
        return other

    def apply(self, instruction: Instruction, arguments: dict[str, str]) -> None:
        place = Place(_TARGET, f"Dockerfile line {instruction.line}")
        name, value = instruction.name, instruction.value
        if name == "ARG":
            pairs = dict(key_values(expand(value, self.variables)))
            self.variables.update(pairs or {value: arguments[value]} if "=" in value or value in arguments else {})
        elif name == "ENV":
            self._environment(dict(key_values(expand(value, self.variables))))
        elif name == "WORKDIR":
            self.folder = posixpath.normpath(posixpath.join(self.folder, expand(value, self.variables).strip("\"'")))
        elif name in ("COPY", "ADD"):
            self._copy(expand(value, self.variables), instruction.body, place)
        elif name == "RUN":
            _Run(self, place).line(value, instruction.body)

    def _environment(self, pairs: dict[str, str]) -> None:
        self.variables.update(pairs)
        for key, value in pairs.items():
            if key in _PIP_VARIABLES:
                self.draft.options.extend(f"{_PIP_VARIABLES[key]} {v}" for v in value.split())
            if _LOADER_VARIABLES.match(key):
                self.left_out.append(key)
            else:
                self.draft.env[key] = value

    def _copy(self, value: str, body: str, place: Place) -> None:
        words = words_of(re.sub(r"<<-?\s*([\"']?)\w+\1", "", value))
        if any(w.startswith("--from") for w in words):
            self.draft.note(f"{place.text}: files of another stage or image are not copied")
            return
        words = [w for w in words if not w.startswith("--")]
        if body:
            self.files.place_text(words[-1] if words else "", self.folder, body)
        elif len(words) >= 2:
            self.files.place(words[:-1], words[-1], self.folder)


class _Run:
    """One RUN line: what it installs is added to the stage's draft, what it does besides is noted."""

    def __init__(self, stage: _Stage, place: Place):
        self.stage, self.draft, self.place = stage, stage.draft, place
        self.folder = stage.folder
        self.variables = dict(stage.variables)
        self.conditional = False
        self.skipped: list[str] = []

    def line(self, value: str, body: str = "") -> None:
        while value.startswith("--"):
            flag, _, value = value.partition(" ")
            self._mount(flag)
            value = value.lstrip()
        commands = [words_of(value)] if value.startswith("[") else shell_commands(body or value)
        for words in commands:
            self.command(words)
        if self.skipped:
            more = f" and {len(self.skipped) - 3} more" if len(self.skipped) > 3 else ""
            self.draft.note(f"{self.place.text}: not run, as no container is built: {', '.join(self.skipped[:3])}{more}")

    def command(self, words: list[str]) -> None:
        while words and (words[0] in _PREFIXES or re.match(r"^[A-Za-z_]\w*=", words[0])):
            self.conditional = self.conditional or words[0] in ("if", "then", "else", "elif")
            words = words[1:]
        if not words or words[0].startswith("-"):
            return
        program, rest = posixpath.basename(words[0]), words[1:]
        if program in ("bash", "sh", "dash", "zsh") and any(re.match(r"^-\w*c$", w) for w in rest):
            script = rest[next(i for i, w in enumerate(rest) if re.match(r"^-\w*c$", w)) + 1 :]
            for inner in shell_commands(script[0]) if script else []:
                self.command(inner)
        elif program == "cd":
            self.folder = posixpath.normpath(posixpath.join(self.folder, expand(rest[0] if rest else "/", self.variables)))
        elif program == "export":
            assigned = (expand(word, self.variables).partition("=") for word in rest if "$(" not in word)
            self.variables.update({name: value for name, equals, value in assigned if equals})
        elif program == "cp":
            self.stage.files.move([w for w in rest if not w.startswith("-")], self.folder)
        elif re.fullmatch(r"pip(\d(\.\d+)?)?", program):
            self._pip(rest)
        elif re.fullmatch(r"python(\d(\.\d+)?)?", program) and "-m" in rest[:3] and "pip" in rest[:4]:
            self._pip(rest[rest.index("pip") + 1 :])
        elif program == "uv" and rest[:1] == ["pip"]:
            self._pip(rest[1:])
        elif program in ("conda", "mamba", "micromamba"):
            self._conda(rest)
        elif program in _SYSTEM:
            self._system(program, rest)
        elif program.startswith("python") and rest[:2] == ["-m", "venv"]:
            pass  # one environment is made in any case
        elif program not in _HARMLESS and "*" not in program:
            self.skipped.append(f"`{_short(words)}`")

    def _pip(self, words: list[str]) -> None:
        start = next((i for i, w in enumerate(words) if not w.startswith("-")), None)
        if start is None:
            return
        action, rest = words[start], words[:start] + words[start + 1 :]
        if action == "install":
            self.draft.next_layer()
            self._reader().arguments(self._words(rest), self.place)
        elif action in ("uninstall", "download", "wheel"):
            self.draft.note(f"{self.place.text}: `pip {action}` is not run")
        elif action == "config" and rest[:1] == ["set"] and len(rest) >= 3:
            variable = "PIP_" + rest[1].rpartition(".")[2].upper().replace("-", "_")
            if variable in _PIP_VARIABLES:
                self.draft.options.append(f"{_PIP_VARIABLES[variable]} {rest[2]}")

    def _conda(self, words: list[str]) -> None:
        action = next((w for w in words if not w.startswith("-")), "")
        rest = words[words.index(action) + 1 :] if action else []
        if action == "run":
            while rest and rest[0].startswith("-"):
                rest = rest[2:] if rest[0] in _CONDA_VALUES else rest[1:]
            self.command(rest)
        elif action == "env" and rest[:1] in (["create"], ["update"]):
            self._conda_environment(rest[0] == "create", rest[1:])
        elif action in ("install", "create", "update"):
            self._conda_packages(action, self._words(rest))

    def _conda_environment(self, create: bool, words: list[str]) -> None:
        words = self._words(words)
        path = next((words[i + 1] for i, w in enumerate(words[:-1]) if w in ("-f", "--file")), None)
        path = path or next((w.split("=", 1)[1] for w in words if w.startswith(("--file=", "-f="))), "environment.yml")
        text = self.stage.files.read(path, self.folder)
        if text is None and self.conditional:
            self.draft.note(f"{self.place.text}: the conda file `{path}` is not in the build context and is left out")
            return
        if text is None:
            raise invalid(f"{self.place.text}: the conda file `{path}` is not in the build context.", self.place.target)
        if create:
            self._fresh()
        self.draft.next_layer()
        reader = self._reader()
        read_conda_file(text, self.stage.files.found_as(path, self.folder), self.draft, reader.read, reader.local)

    def _conda_packages(self, action: str, words: list[str]) -> None:
        specs, rest = [], iter(words)
        for word in rest:
            if word in ("--file", "-f"):
                specs.extend(self._listed(next(rest, "")))
            elif word in _CONDA_VALUES:
                next(rest, "")
            elif not word.startswith("-"):
                specs.append(word)
        specs = [s for s in specs if s not in ("conda", "anaconda", "--all")]
        if action == "create":
            self._fresh()
        self.draft.next_layer()
        for spec in specs:
            entry = CondaEntry(spec, self.place)
            add_spec(parse_match_spec(spec, self.place), entry, self.draft)

    def _listed(self, path: str) -> list[str]:
        text = self.stage.files.read(path, self.folder)
        if text is None:
            raise invalid(f"{self.place.text}: the file `{path}` is not in the build context.", self.place.target)
        return [line for _, line in logical_lines(text)]

    def _fresh(self) -> None:
        """A new conda environment does not see what the image has."""
        empty = Draft(PackageSet(options=tuple(self.draft.options), env=self.draft.env, notes=tuple(self.draft.notes)))
        self.draft.__dict__.update(empty.__dict__)

    def _system(self, program: str, words: list[str]) -> None:
        names = [w for w in words if not w.startswith("-")]
        if names[:1] in (["install"], ["add"]) and names[1:]:
            listed = ", ".join(names[1:9]) + (", ..." if len(names) > 9 else "")
            self.draft.note(f"{self.place.text}: {program} packages are not installed ({listed}); the machine's own are used")

    def _mount(self, flag: str) -> None:
        parts = {key: value for key, _, value in (p.partition("=") for p in flag.removeprefix("--mount=").split(","))}
        source, target = parts.get("source", parts.get("src", ".")), parts.get("target", parts.get("dst", ""))
        if flag.startswith("--mount=") and parts.get("type", "bind") == "bind" and target and "from" not in parts:
            self.stage.files.place([source], target, self.folder)

    def _words(self, words: list[str]) -> list[str]:
        expanded = [expand(w, self.variables) for w in words]
        return [found for w in expanded for found in (self.stage.files.glob(w, self.folder) if "*" in w and "/" in w else [w])]

    def _reader(self) -> PipReader:
        files, folder = self.stage.files, self.folder
        return PipReader(self.draft, lambda path: files.read(path, folder), lambda path: files.local(path, folder))


def _short(words: list[str]) -> str:
    text = " ".join(words)
    return text if len(text) <= 60 else text[:57] + "..."
