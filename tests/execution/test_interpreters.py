"""Finding interpreters."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import pytest

from lazward.execution.interpreters import Interpreters

OWN = sys.version_info


class Machine:
    """A home with interpreters of pyenv: scripts that answer as a Python of that version does, and note that they were run."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.runs = folder / "runs"

    def add(self, version: str, implementation: str = "cpython") -> Path:
        bin_folder = self.folder / "pyenv/versions" / version / "bin"
        bin_folder.mkdir(parents=True)
        path = bin_folder / f"python3.{version.split('.')[1]}"
        answer = json.dumps([version, implementation, "linux-x86_64", "glibc", str(path)])
        path.write_text(f"#!/bin/sh\necho {version} >> {self.runs}\necho '{answer}'\n")
        path.chmod(0o755)
        return path

    def interpreters(self, **settings: object) -> Interpreters:
        environ = {"PYENV_ROOT": str(self.folder / "pyenv"), "HOME": str(self.folder), "PATH": str(self.folder / "nothing")}
        found = Interpreters(self.folder / "cache.json", environ, **settings)  # type: ignore[arg-type]
        found._folders = lambda f=found._folders: [p for p in f() if str(p).startswith(str(self.folder))]  # not this machine's own
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


class TestChoose:
    async def test_the_version_asked_for(self, machine: Machine) -> None:
        machine.add("3.50.1")
        machine.add("3.50.4")
        choice = await machine.interpreters().choose("3.50")
        assert [c.version for c in choice.candidates] == ["3.50.4"]
        assert (choice.exact, choice.note) == (True, "")

    async def test_a_patch_version_asked_for(self, machine: Machine) -> None:
        machine.add("3.50.1")
        machine.add("3.50.4")
        assert (await machine.interpreters().choose("3.50.1")).candidates[0].version == "3.50.1"
        other = await machine.interpreters().choose("3.50.2")
        assert other.candidates[0].version == "3.50.4"
        assert other.exact
        assert "3.50.2 was asked for" in other.note

    async def test_else_the_nearest_newer_then_the_nearest_older(self, machine: Machine) -> None:
        for version in ("3.50.1", "3.53.1", "3.56.1"):
            machine.add(version)
        newer = await machine.interpreters().choose("3.51")
        assert newer.candidates[0].version == "3.53.1"
        assert not newer.exact
        assert "not on this machine" in newer.note
        assert (await machine.interpreters().choose("3.99")).candidates[0].version == "3.56.1"

    async def test_in_place_of_a_range_that_is_not_here_too(self, machine: Machine) -> None:
        for version in ("3.50.1", "3.56.1"):
            machine.add(version)
        interpreters = machine.interpreters()
        for request, taken, asked in ((">=3.51,<3.53", "3.56.1", "3.52"), (">=3.57", "3.56.1", "3.57"), ("==3.52.*", "3.56.1", "3.52")):
            choice = await interpreters.choose(request)
            assert (choice.candidates[0].version, choice.exact, choice.asked) == (taken, False, asked)
            assert "not on this machine" in choice.note
            assert not interpreters.has(request)
        machine.add("3.52.4")
        assert machine.interpreters().has(">=3.51,<3.53")

    async def test_a_version_that_is_too_old_is_replaced(self, machine: Machine) -> None:
        machine.add("3.7.9")
        choice = await machine.interpreters(oldest=(3, 8)).choose("3.7")
        assert choice.candidates[0].minor >= (3, 8)
        assert "older than 3.8" in choice.note

    async def test_any_is_the_server_s_own_first_then_the_newest(self, machine: Machine) -> None:
        for version in ("3.50.1", "3.53.1"):
            machine.add(version)
        versions = [c.version for c in (await machine.interpreters().choose("")).candidates]
        assert versions == [platform.python_version(), "3.53.1", "3.50.1"]

    async def test_a_range(self, machine: Machine) -> None:
        for version in ("3.50.1", "3.53.1", "3.56.1"):
            machine.add(version)
        choice = await machine.interpreters().choose(">=3.50,<3.56")
        assert [c.version for c in choice.candidates] == ["3.53.1", "3.50.1"]

    @pytest.mark.parametrize("request_", [">=4", "<3.1", "three"])
    async def test_nothing_that_fits_says_so(self, machine: Machine, request_: str) -> None:
        choice = await machine.interpreters().choose(request_)
        assert choice.candidates == ()
        assert request_ in choice.note

    async def test_what_does_not_run_or_is_another_implementation_is_passed_over(self, machine: Machine) -> None:
        machine.add("3.50.9", "pypy")
        broken = machine.add("3.50.8")
        broken.write_text("#!/bin/sh\nexit 127\n")
        machine.add("3.50.1")
        assert (await machine.interpreters().choose("3.50")).candidates[0].version == "3.50.1"


    async def test_another_user_s_folder_is_passed_over(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        """A shell that changes the user keeps PYENV_ROOT."""
        machine.add("3.10.1")
        listing = Path.iterdir

        def refused(path: Path):
            if path.name == "versions":
                raise PermissionError(13, "Permission denied", str(path))
            return listing(path)

        monkeypatch.setattr(Path, "iterdir", refused)
        chosen = await machine.interpreters().choose("3.10")
        assert not any(str(c.path).startswith(str(machine.folder)) for c in chosen.candidates)


class TestAsk:
    async def test_a_file_is_run_once_until_it_changes(self, machine: Machine) -> None:
        path = machine.add("3.50.1")
        for _ in range(2):
            assert await machine.interpreters().ask(path)
        assert machine.runs.read_text() == "3.50.1\n"
        path.write_text(path.read_text() + "# changed\n")
        await machine.interpreters().ask(path)
        assert machine.runs.read_text() == "3.50.1\n3.50.1\n"

    async def test_a_virtual_environment_stands_for_its_base(self, machine: Machine) -> None:
        found = await machine.interpreters().ask(Path(sys.executable))
        assert found is not None
        assert found.version == platform.python_version()
        assert "site-packages" not in found.path
        assert Path(found.path).resolve() == Path(sys.executable).resolve()

    async def test_a_file_that_is_not_there(self, machine: Machine) -> None:
        assert await machine.interpreters().ask(machine.folder / "nothing") is None

    async def test_a_damaged_cache_is_made_anew(self, machine: Machine) -> None:
        machine.add("3.50.1")
        (machine.folder / "cache.json").write_text("{")
        assert (await machine.interpreters().choose("3.50")).candidates


def test_has_runs_nothing(machine: Machine) -> None:
    machine.add("3.50.1")
    assert machine.interpreters().has("3.50")
    assert not machine.interpreters().has("3.51")
    assert machine.interpreters().has(">=3.50")
    assert not machine.interpreters().has(">=3.51,<3.53")
    assert not machine.runs.exists()
