"""Pins of another Python: wheels made by hand for 3.8, for this Python, for both; a machine that has this Python only."""

from __future__ import annotations

import io
import sys
import sysconfig
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lazward.contract.errors import ArmError
from lazward.domain.package_set import PackageSet
from lazward.execution.environments import EnvironmentCache
from lazward.execution.loosening import _below, _change, _differs, _stated, _wider
from tests.execution.wheelhouse import Wheelhouse, version_in

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
PLATFORM = sysconfig.get_platform().replace("-", "_").replace(".", "_")
BACKEND = """
import zipfile

def build_wheel(folder, *_):
    name = "source-1.0.dist-info"
    with zipfile.ZipFile(f"{folder}/source-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("source.py", "__version__ = '1.0'")
        wheel.writestr(f"{name}/METADATA", "Metadata-Version: 2.1\\nName: source\\nVersion: 1.0\\n")
        wheel.writestr(f"{name}/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{name}/RECORD", "")
    return "source-1.0-py3-none-any.whl"
"""


def tag(version: str) -> str:
    python = "cp" + version.replace(".", "")
    return f"{python}-{python}-{PLATFORM}"


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    """digits: compiled, another set of versions for each Python. ride: goes with the old or the new ones. pure: one for all, which
    needs a helper, which has newer versions for this Python. source: an archive to build. grown: that too, until it got wheels."""
    house = Wheelhouse(tmp_path / "wheels")
    for version, python in (("1.0", "3.8"), ("1.2", "3.8"), ("1.4", HERE), ("1.6", HERE)):
        house.add("digits", version, tag=tag(python))
    house.add("ride", "1.0", requires=["digits<1.3"])
    house.add("ride", "1.1", requires=["digits>=1.4"])
    house.add("ride", "1.2", requires=["digits>=1.4"])
    house.add("pure", "1.0", requires=["helper"])
    house.add("pure", "1.1", requires=["helper"])
    house.add("helper", "1.0")
    house.add("helper", "2.0", tag=tag(HERE))
    source(house, "source")
    source(house, "grown")
    house.add("grown", "2.0")
    house.add("child", "1.0", requires=["grown<2"])
    house.add("child", "1.1", requires=["grown"])
    return house


def source(house: Wheelhouse, name: str) -> None:
    with tarfile.open(house.folder / f"{name}-1.0.tar.gz", "w:gz") as archive:
        for path, text in (
            ("pyproject.toml", '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'), ("backend.py", BACKEND.replace("source", name)),
            ("PKG-INFO", f"Metadata-Version: 2.2\nName: {name}\nVersion: 1.0\n"),
        ):  # fmt: skip
            found = tarfile.TarInfo(f"{name}-1.0/{path}")
            found.size = len(text.encode())
            archive.addfile(found, io.BytesIO(text.encode()))


@pytest.fixture
def machine(house: Wheelhouse, tmp_path: Path) -> Callable[..., EnvironmentCache]:
    def make(**settings: object) -> EnvironmentCache:
        cache = house.cache(tmp_path, **settings)
        cache.interpreters.paths = lambda: {sys.version_info[1]: [Path(getattr(sys, "_base_executable", sys.executable))]}  # type: ignore[method-assign]
        return cache

    return make


PINS = ("digits==1.0", "pure==1.0")


class TestLoosen:
    async def test_what_has_no_wheel_becomes_the_nearest_and_the_rest_is_kept(self, machine: Callable[..., EnvironmentCache]) -> None:
        lines: list[str] = []
        env = await machine().ensure(PackageSet(python="3.8", requirements=PINS), lines.append)
        assert [version_in(env, name) for name in ("digits", "pure", "helper")] == ["1.4", "1.0", "1.0"]
        assert [change.partition(" -> ")[0] for change in env.loosened] == ["python 3.8", "digits 1.0"]
        (warning,) = [line for line in lines if line.startswith("WARNING")]
        assert "digits 1.0 -> 1.4" in warning and "environments_strict" in warning

    async def test_the_warm_call_says_it_again(self, machine: Callable[..., EnvironmentCache]) -> None:
        cache, lines = machine(), list[str]()
        first = await cache.ensure(PackageSet(python="3.8", requirements=PINS), print)
        again = await cache.ensure(PackageSet(python="3.8", requirements=PINS), lines.append)
        assert (again.key, again.loosened) == (first.key, first.loosened)
        assert any(line.startswith("WARNING") for line in lines)

    async def test_a_pin_that_holds_another_back_is_loosened_too(self, machine: Callable[..., EnvironmentCache]) -> None:
        env = await machine().ensure(PackageSet(python="3.8", requirements=("digits==1.0", "ride==1.0", "pure<1.1")), print)
        assert env.loosened[1:] == ("digits 1.0 -> 1.4", "ride 1.0 -> 1.1")
        assert version_in(env, "pure") == "1.0"

    async def test_a_range_of_versions_and_of_pythons(self, machine: Callable[..., EnvironmentCache]) -> None:
        env = await machine().ensure(PackageSet(python=">=3.6,<3.9", requirements=("digits>=1.1,<1.3",)), print)
        assert env.loosened[1:] == ("digits <1.3,>=1.1 -> 1.4",)

    async def test_what_is_built_in_any_case_is_built(self, machine: Callable[..., EnvironmentCache]) -> None:
        env = await machine().ensure(PackageSet(python="3.8", requirements=("digits==1.0", "source==1.0")), print)
        assert (version_in(env, "source"), env.loosened[1:]) == ("1.0", ("digits 1.0 -> 1.4",))

    async def test_the_source_of_what_has_wheels_by_now_is_left_to_its_python(self, machine: Callable[..., EnvironmentCache]) -> None:
        env = await machine().ensure(PackageSet(python="3.8", requirements=("child==1.0",)), print)
        assert (version_in(env, "grown"), env.loosened[1:]) == ("2.0", ("child 1.0 -> 1.1",))
        alone = await machine().ensure(PackageSet(python="3.8", requirements=("child==1.0",), constraints=("grown<2",)), print)
        assert (version_in(alone, "grown"), alone.loosened) == ("1.0", ())

    async def test_a_deployment_gets_the_versions_of_the_job(self, machine: Callable[..., EnvironmentCache]) -> None:
        cache, packages = machine(), PackageSet(python="3.8", requirements=PINS)
        job, deployment = await cache.ensure(packages, print), await cache.ensure(packages, print, ("helper>=2",))
        assert job.loosened == deployment.loosened
        assert [version_in(deployment, name) for name in ("digits", "pure", "helper")] == ["1.4", "1.0", "2.0"]

    async def test_pins_that_have_wheels_here_are_kept_without_a_word(self, machine: Callable[..., EnvironmentCache]) -> None:
        lines: list[str] = []
        env = await machine().ensure(PackageSet(python="3.8", requirements=("pure==1.0", "helper==1.0")), lines.append)
        assert (env.loosened, version_in(env, "pure")) == ((), "1.0")
        assert not any(line.startswith("WARNING") for line in lines)


class TestRefused:
    @pytest.mark.parametrize(("pin", "words"), [("pure==9.0", "pure==9.0"), ("nobody==1.0", "nobody"), ("helper==2.0", "helper")])
    async def test_what_is_impossible_for_the_python_asked_for_too(self, machine: Callable[..., EnvironmentCache], pin: str, words: str) -> None:
        with pytest.raises(ArmError, match=words) as caught:
            await machine().ensure(PackageSet(python="3.8", requirements=("digits==1.0", pin)), print)
        assert caught.value.target == pin
        assert "Python 3.8 was asked for" in caught.value.message

    async def test_everything_where_the_operator_says_so(self, machine: Callable[..., EnvironmentCache]) -> None:
        with pytest.raises(ArmError, match="digits") as caught:
            await machine(strict=True).ensure(PackageSet(python="3.8", requirements=PINS), print)
        assert caught.value.target == "digits==1.0"

    async def test_a_pin_for_the_python_that_is_here(self, machine: Callable[..., EnvironmentCache]) -> None:
        with pytest.raises(ArmError, match="digits"):
            await machine().ensure(PackageSet(python=HERE, requirements=PINS), print)


@pytest.mark.parametrize(
    ("pin", "wider", "older"),
    [
        ("x==1.5.*", "x>=1.5", "x<=1.5"), ("x[b,a]~=1.5; python_version>'3'", 'x[a,b]>=1.5; python_version > "3"', 'x[a,b]<=1.5; python_version > "3"'),
        ("x>=1.1,<2,!=1.3", "x>=1.1,!=1.3", "x<=2,!=1.3"), ("x<2", "x>=2", "x<=2"), ("x!=3", "x", "x"),
    ],
)  # fmt: skip
def test_wider(pin: str, wider: str, older: str) -> None:
    assert (_wider(pin, False), _wider(pin, True)) == (wider, older)


def test_words() -> None:
    assert [_stated(pin) for pin in ("x==1.5.*", "x>=1,<2", "x===1.0")] == ["1.5", "<2,>=1", "1.0"]
    assert _change("X==1.5.*", "x==1.6.1") == "x 1.5 -> 1.6.1"
    assert (_differs("x==1.5.*", "x==1.5.2"), _differs("x<2", "x==2.0")) == (False, True)
    assert (_below("pip==21.2.4.*", "23.1.2"), _below("pip>=21", "23.1.2"), _below("pip==25", "23.1.2")) == (True, False, False)
