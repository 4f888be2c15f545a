"""The lines that pip reads: requirement files and the arguments of `pip install`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator

import msgspec
from packaging.requirements import InvalidRequirement, Requirement

from lazward.domain.package_set import Draft, invalid

# pip options with a value that change what is found or where.
_WITH_VALUE = {
    "-i": "--index-url", "--index-url": "--index-url", "--pypi-url": "--index-url", "--extra-index-url": "--extra-index-url",
    "-f": "--find-links", "--find-links": "--find-links", "--only-binary": "--only-binary", "--no-binary": "--no-binary",
    "--trusted-host": "--trusted-host",
}  # fmt: skip
_SWITCHES = {"--no-index", "--pre"}
_IGNORED_WITH_VALUE = {
    "--use-feature", "--config-settings", "-C", "--global-option", "--install-option", "--timeout", "--retries", "--progress-bar",
    "--src", "--target", "-t", "--root", "--prefix", "--python", "-p", "--cache-dir", "--upgrade-strategy", "--log", "--cert",
    "--client-cert", "--proxy", "--index-strategy", "--torch-backend", "--exists-action", "--platform", "--implementation",
    "--root-user-action", "--report", "--resume-retries", "--python-version", "--abi",
}  # fmt: skip
_FILES = {"-r": "include", "--requirement": "include", "--requirements": "include", "-c": "constraint", "--constraint": "constraint"}
_EDITABLE = {"-e", "--editable"}
_LOCAL_FILE = re.compile(r"\.(whl|zip|tar\.gz|tar\.bz2|tgz)$", re.IGNORECASE)
_URL = re.compile(r"^(git|hg|svn|bzr)\+|^(https?|ftp|file)://", re.IGNORECASE)
_OPTION = re.compile(r"(--[^\s=]*|-\w?)[\s=]*(.*)")  # --find-links=X, --find-links X, -f X, -fX
_VARIABLE = re.compile(r"\$\{?[A-Za-z_][A-Za-z0-9_]*\}?|\$\(")

# read(path) -> the file's text, or None where the build context has no such file.
Reader = Callable[[str], str | None]
# local(path) -> the path inside the build context of a wheel, archive or project folder, or None.
Local = Callable[[str], str | None]


class Place(msgspec.Struct, frozen=True):
    """Where a line stands: `target` is a field of the environment, `text` what a person reads."""

    target: str
    text: str


class PipReader:
    """Adds what pip would read to a draft."""

    def __init__(self, draft: Draft, read: Reader, local: Local):
        self.draft, self.read, self.local = draft, read, local
        self._open: list[str] = []

    def file(self, path: str, asked_at: Place, constraint: bool = False, upgrade: bool = False) -> None:
        """A requirement file of the build context, with the files that it names in turn."""
        if _URL.match(path):
            raise invalid(f"{asked_at.text}: `{path}`: requirement files are read from the build context only.", asked_at.target)
        if path in self._open:
            raise invalid(f"{asked_at.text}: `{path}` includes itself.", asked_at.target)
        text = self.read(path)
        if text is None:
            raise invalid(f"{asked_at.text}: the file `{path}` is not in the build context.", asked_at.target)
        self._open.append(path)
        for number, line in logical_lines(text):
            place = Place(asked_at.target, f"{path} line {number}")
            self.line(line, place, posixpath.dirname(path), constraint, upgrade)
        self._open.pop()

    def line(self, line: str, place: Place, folder: str = "", constraint: bool = False, upgrade: bool = False) -> None:
        """One line of a requirement file, or one entry of a conda file's pip list."""
        if not line.startswith("-"):
            self.requirement(line, place, folder, constraint, upgrade)
            return
        option, value = _OPTION.match(line).groups()  # type: ignore[union-attr]  # the pattern matches every line
        self.option(option, value.strip().strip("\"'"), place, folder, constraint, upgrade)

    def option(self, option: str, value: str, place: Place, folder: str, constraint: bool, upgrade: bool) -> None:
        if option in _FILES:
            self.file(posixpath.join(folder, value), place, constraint or _FILES[option] == "constraint", upgrade)
        elif option in _EDITABLE:
            self.draft.note(f"{place.text}: `{value}` is installed as it is now, not as an editable project")
            path = value if _URL.match(value) or value.startswith((".", "/")) else f"./{value}"
            self.requirement(path, place, folder, constraint, upgrade)
        elif option in _WITH_VALUE:
            if not value:
                raise invalid(f"{place.text}: `{option}` needs a value.", place.target)
            self.draft.options.append(f"{_WITH_VALUE[option]} {value}")
        elif option in _SWITCHES:
            self.draft.options.append(option)
        elif option not in ("--prefer-binary", "--require-hashes"):
            self.draft.note(f"{place.text}: `{option}` is not used")

    def requirement(self, text: str, place: Place, folder: str = "", constraint: bool = False, upgrade: bool = False) -> None:
        text = text.strip()
        kept = self._requirement(text, place, folder)
        if constraint:
            self.draft.constraints.append(kept)
        else:
            self.draft.require(kept, f"{place.text} (`{text}`)", upgrade)

    def _requirement(self, text: str, place: Place, folder: str) -> str:
        if _URL.match(text):
            return text
        bare = re.sub(r"\[[^\]]*\]$", "", text)
        if text.startswith((".", "/", "~")) or (_LOCAL_FILE.search(bare) and "@" not in text):
            return self._context_path(text, bare, place, folder)
        return checked_requirement(text, place)

    def _context_path(self, text: str, bare: str, place: Place, folder: str) -> str:
        found = self.local(posixpath.join(folder, bare))
        if found is None:
            raise invalid(f"{place.text}: `{text}` is a path that the build context does not have.", place.target)
        return f"context:{found}{text[len(bare):]}"

    def arguments(self, words: list[str], place: Place) -> None:
        """The words after `pip install`."""
        upgrade = any(w in ("-U", "--upgrade", "--force-reinstall") for w in words)
        rest = iter(words)
        for word in rest:
            if not word.startswith("-"):
                self.requirement(_without_shell_variable(word, place, self.draft), place, upgrade=upgrade)
                continue
            option, equals, value = word.partition("=")
            if len(word) > 2 and word[:2] in ("-r", "-c", "-i", "-f", "-e") and not word.startswith("--"):
                option, equals, value = word[:2], "=", word[2:]
            known = option in _FILES or option in _WITH_VALUE or option in _EDITABLE
            if not equals and (known or option in _IGNORED_WITH_VALUE):
                value = next(rest, "")
            if known or option in _SWITCHES:
                self.option(option, value, place, "", False, upgrade)
            elif option == "--no-deps":
                self.draft.note(f"{place.text}: `--no-deps` is not used: the packages are installed with what they depend on")


def checked_requirement(text: str, place: Place) -> str:
    """The line as PEP 508 writes it, hashes kept; an error that names the place otherwise."""
    body, *hashes = re.split(r"\s(?=--hash[=\s])", text)  # one blank, not \s+: a line of blanks would take for ever (S19)
    try:
        requirement = Requirement(body.strip())
    except InvalidRequirement as error:
        hint = " pip compares with `==`." if re.match(r"^[\w.\[\]-]+\s*=[^=]", body) else ""
        raise invalid(f"{place.text}: `{text[:200]}` is no pip requirement: {str(error).splitlines()[0]}.{hint}", place.target) from None
    return " ".join([str(requirement), *(re.sub(r"--hash\s+", "--hash=", h.strip()) for h in hashes)])


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """(number of the first line, line) with continuations joined and comments removed, as pip does it."""
    number, parts = 0, ""
    for index, raw in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not parts:
            number = index
        if raw.endswith("\\") and not raw.lstrip().startswith("#"):
            parts += raw[:-1].rstrip() + " "
            continue
        whole = parts + raw
        comment = re.search(r"(?:^|\s)#", whole)
        line = (whole[: comment.start()] if comment else whole).strip()
        parts = ""
        if line:
            yield number, line
    if parts.strip():
        yield number, parts.strip()


def _without_shell_variable(word: str, place: Place, draft: Draft) -> str:
    """`x==$VERSION` with a variable that only a shell knows: any version is taken."""
    found = _VARIABLE.search(word)
    if not found:
        return word
    name = re.match(r"^([A-Za-z0-9][\w.-]*(\[[^\]]*\])?)\s*[=<>!~]=?", word)
    if not name or name.end() > found.start() + 1:
        raise invalid(f"{place.text}: `{word}` depends on a variable that only a container build knows.", place.target)
    draft.note(f"{place.text}: the version in `{word}` is known to a container build only: any version is taken")
    return name.group(1)
