"""The steps of a resolution that need no resolver. The whole of it is tested in test_environments.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from lazward.contract.errors import ArmError
from lazward.domain.package_set import PackageSet
from lazward.execution.interpreters import Choice, Interpreter
from lazward.execution.pip_settings import IndexSettings
from lazward.execution.resolution import Resolution
from lazward.execution.resolve import Resolver, explained, reason_of
from lazward.execution.uv_tool import Finished


@pytest.mark.parametrize(
    "text",
    [
        "warning: w\nUsing Python 3\nerror: No solution found\n  cause: Because x==1 is not there,\n         y fails.\n\nhint: use `--pre`",
        "  × No solution found\n  ╰─▶ Because x==1 is not there,\n      y fails.\n",
    ],
)
def test_reason_is_one_paragraph_without_options_of_uv(text: str) -> None:
    assert reason_of(text) == "No solution found Because x==1 is not there, y fails."


def test_a_long_reason_keeps_both_ends() -> None:
    reason = reason_of("error: first " + "x " * 5000 + "last")
    assert reason.startswith("first")
    assert reason.endswith("last")
    assert len(reason) < 2000


class Machine:
    """Interpreters of several versions, and a uv that resolves for some of them: what it is asked is kept."""

    def __init__(self, *versions: str, works: Callable[[str, list[str], str], bool]):
        self.pythons = [Interpreter(f"/python/{v}", v, "linux") for v in versions]
        self.works, self.calls, self.environ = works, list[str](), dict[str, str]()

    async def choose(self, request: str) -> Choice:
        if request.startswith(">"):
            return Choice(tuple(p for p in self.pythons if p.version in SpecifierSet(request)))
        if request:
            return Choice(tuple(p for p in self.pythons if p.version.startswith(request)))
        return Choice(tuple(self.pythons))

    async def fetch(self, arguments: list[str], variables: object, log: object) -> Finished:
        python, asked = arguments[arguments.index("--python") + 1], Path(arguments[2]).read_text()
        self.calls.append(python.removeprefix("/python/") + (" wheels" if ":all:" in arguments else ""))
        if self.works(python.removeprefix("/python/"), asked.split(), " ".join(arguments)):
            return Finished(0, "alpha==1 \\\n    --hash=sha256:0\n", "")
        return Finished(1, "", "error: No solution found\n  cause: Because alpha has no usable wheels.\n")

    async def resolve(self, packages: PackageSet, work: Path) -> Resolution:
        resolver = Resolver(self, self, IndexSettings(), work, False, lambda _: None)  # type: ignore[arg-type]
        return await resolver.resolve(packages)


class TestPythons:
    async def test_of_several_the_first_with_wheels_is_taken(self, tmp_path: Path) -> None:
        machine = Machine("3.11.1", "3.13.1", "3.9.1", works=lambda python, _, arguments: python == "3.9.1")
        found = await machine.resolve(PackageSet(requirements=("alpha",)), tmp_path)
        assert found.python.version == "3.9.1"
        assert "no wheels for 3.11.1" in found.notes[0]
        assert all(call.endswith(" wheels") for call in machine.calls)

    async def test_where_none_has_wheels_the_first_one_builds(self, tmp_path: Path) -> None:
        machine = Machine("3.11.1", "3.13.1", works=lambda python, _, arguments: ":all:" not in arguments)
        assert (await machine.resolve(PackageSet(requirements=("alpha",)), tmp_path)).python.version == "3.11.1"

    async def test_the_one_asked_for_builds_where_it_must(self, tmp_path: Path) -> None:
        machine = Machine("3.11.1", "3.13.1", works=lambda python, _, arguments: ":all:" not in arguments)
        await machine.resolve(PackageSet(python="3.11", requirements=("alpha",)), tmp_path)
        assert machine.calls == ["3.11.1"]

    async def test_an_image_whose_python_no_longer_gets_its_packages_takes_the_nearest_newer(self, tmp_path: Path) -> None:
        machine = Machine("3.8.1", "3.13.1", "3.11.1", works=lambda python, _, arguments: python != "3.8.1")
        found = await machine.resolve(PackageSet(python="3.8", soft=("alpha==1.*",)), tmp_path)
        assert found.python.version == "3.11.1"
        assert "not to be had for 3.8.1" in found.notes[0]

    async def test_what_was_asked_for_by_name_keeps_its_python(self, tmp_path: Path) -> None:
        machine = Machine("3.8.1", "3.11.1", works=lambda python, _, arguments: python != "3.8.1")
        with pytest.raises(ArmError, match="no usable wheels"):
            await machine.resolve(PackageSet(python="3.8", requirements=("alpha==1.*",)), tmp_path)

    async def test_repositories_are_built_at_once(self, tmp_path: Path) -> None:
        machine = Machine("3.11.1", "3.13.1", works=lambda python, _, arguments: True)
        await machine.resolve(PackageSet(requirements=("git+https://h/x.git",)), tmp_path)
        assert machine.calls == ["3.11.1"]

    async def test_an_impossible_pin_takes_few_calls(self, tmp_path: Path) -> None:
        machine = Machine("3.11.1", works=lambda python, _, arguments: False)
        with pytest.raises(ArmError):
            await machine.resolve(PackageSet(python="3.11", requirements=("alpha==9",), soft=("beta==1.*", "gamma==1.*")), tmp_path)
        assert len(machine.calls) == 2


class TestExplained:
    PACKAGES = PackageSet(requirements=("alpha-beta>=1", "beta==2"), origins={"beta": "line 3"})

    def test_names_the_requirement_that_the_reason_is_about(self) -> None:
        error = explained("Because beta==2 has no wheel", self.PACKAGES, "python 3.8 was asked for")
        assert error.target == "beta==2"
        assert error.message == (
            "The environment cannot be built: Because beta==2 has no wheel. It is asked for at line 3. Python 3.8 was asked for."
        )

    def test_without_a_known_name_there_is_no_target(self) -> None:
        assert explained("the disk is full", self.PACKAGES).target is None
