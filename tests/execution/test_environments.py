"""Environments: built once, kept under the hash of their lock, whole or not there."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lazward.contract.errors import ArmError
from lazward.domain.environments import EnvironmentSpec, PackageSet, translate
from lazward.execution.environments import EnvironmentCache
from lazward.execution.uv_tool import find_uv
from tests.execution.wheelhouse import Wheelhouse, alive, printed_by, version_in

ROOT = Path(__file__).parents[2]


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    house = Wheelhouse(tmp_path / "wheels")
    house.add("alpha", "1.0", requires=["beta<3"], script="alpha")
    house.add("alpha", "2.0", requires=["beta<3"], script="alpha")
    house.add("beta", "2.0")
    return house


class TestEnsure:
    async def test_a_cold_build_is_ready_to_run(self, house: Wheelhouse, tmp_path: Path) -> None:
        lines: list[str] = []
        packages = PackageSet(requirements=("alpha==1.*",), notes=("a note",))
        env = await house.cache(tmp_path).ensure(packages, lines.append)
        assert version_in(env, "alpha") == "1.0"
        assert version_in(env, "beta") == "2.0"
        assert printed_by(env.bin / "alpha") == "1.0"
        assert env.python_version == ".".join(map(str, sys.version_info[:3]))
        assert "alpha==1.0" in env.lock
        assert "--hash=sha256:" in env.lock
        assert env.packages == 4  # with pip and setuptools
        assert lines[0] == "a note"
        assert any(line.startswith("resolving") for line in lines)
        assert any("+ alpha==1.0" in line for line in lines)
        assert "is ready (built" in lines[-1]
        assert not list((tmp_path / "cache/tmp").iterdir())

    async def test_a_warm_call_runs_nothing(self, house: Wheelhouse, tmp_path: Path) -> None:
        packages = PackageSet(requirements=("alpha",))
        first = await house.cache(tmp_path).ensure(packages, lambda _: None)
        lines: list[str] = []
        without_uv = house.cache(tmp_path, uv=Path("/nonexistent/uv"))
        without_uv.interpreters.environ = {}  # nor asks any interpreter
        assert await without_uv.ensure(packages, lines.append) == first
        assert "from the cache" in lines[-1]

    async def test_two_sets_with_one_lock_share_an_environment(self, house: Wheelhouse, tmp_path: Path) -> None:
        cache = house.cache(tmp_path)
        one = await cache.ensure(PackageSet(requirements=("alpha",)), lambda _: None)
        other = await cache.ensure(PackageSet(requirements=("alpha>1", "beta")), lambda _: None)
        assert one.key == other.key
        assert len(list((tmp_path / "cache/envs").iterdir())) == 1

    async def test_extra_requirements_are_added(self, house: Wheelhouse, tmp_path: Path) -> None:
        env = await house.cache(tmp_path).ensure(PackageSet(), lambda _: None, extra=["beta"])
        assert version_in(env, "beta") == "2.0"

    async def test_a_lock_stays_until_a_rebuild_is_asked_for(self, house: Wheelhouse, tmp_path: Path) -> None:
        packages, cache = PackageSet(requirements=("alpha",)), house.cache(tmp_path)
        await cache.ensure(packages, lambda _: None)
        house.add("alpha", "3.0")
        assert version_in(await cache.ensure(packages, lambda _: None), "alpha") == "2.0"
        assert version_in(await cache.ensure(packages, lambda _: None, rebuild=True), "alpha") == "3.0"
        assert version_in(await cache.ensure(packages, lambda _: None), "alpha") == "3.0"

    async def test_a_lock_can_be_given_an_age(self, house: Wheelhouse, tmp_path: Path) -> None:
        packages = PackageSet(requirements=("alpha",))
        await house.cache(tmp_path).ensure(packages, lambda _: None)
        house.add("alpha", "3.0")
        assert version_in(await house.cache(tmp_path, lock_max_age_s=-1.0).ensure(packages, lambda _: None), "alpha") == "3.0"

    async def test_other_index_settings_resolve_anew(self, house: Wheelhouse, tmp_path: Path) -> None:
        packages = PackageSet(requirements=("alpha",))
        await house.cache(tmp_path).ensure(packages, lambda _: None)
        more = Wheelhouse(tmp_path / "more")
        more.add("alpha", "4.0")
        env = await house.cache(tmp_path, environ={"PIP_FIND_LINKS": f"{house.folder} {more.folder}"}).ensure(packages, lambda _: None)
        assert version_in(env, "alpha") == "4.0"

    async def test_options_of_the_document_add_to_the_settings(self, house: Wheelhouse, tmp_path: Path) -> None:
        more = Wheelhouse(tmp_path / "more")
        more.add("gamma", "1.0")
        packages = PackageSet(requirements=("alpha", "gamma"), options=(f"--find-links {more.folder}",))
        assert version_in(await house.cache(tmp_path).ensure(packages, lambda _: None), "gamma") == "1.0"

    async def test_constraints_hold(self, house: Wheelhouse, tmp_path: Path) -> None:
        packages = PackageSet(requirements=("alpha",), constraints=("alpha<2",))
        assert version_in(await house.cache(tmp_path).ensure(packages, lambda _: None), "alpha") == "1.0"

    async def test_an_environment_whose_folder_is_gone_comes_back_as_it_was(self, house: Wheelhouse, tmp_path: Path) -> None:
        packages, cache = PackageSet(requirements=("alpha",)), house.cache(tmp_path)
        first = await cache.ensure(packages, lambda _: None)
        shutil.rmtree(first.path)
        house.add("alpha", "3.0")
        again = await cache.ensure(packages, lambda _: None)
        assert again == first
        assert version_in(again, "alpha") == "2.0"

    async def test_an_environment_whose_python_is_gone_is_built_again(self, house: Wheelhouse, tmp_path: Path) -> None:
        packages, cache = PackageSet(requirements=("alpha",)), house.cache(tmp_path)
        env = await cache.ensure(packages, lambda _: None)
        env.python.unlink()
        env.python.symlink_to("/nonexistent/python")
        assert version_in(await cache.ensure(packages, lambda _: None), "alpha") == "2.0"

    async def test_files_of_the_build_context(self, house: Wheelhouse, tmp_path: Path) -> None:
        context = Wheelhouse(tmp_path / "context/dist")
        wheel = context.add("mine", "1.0", requires=["beta"])
        packages = PackageSet(requirements=(f"context:dist/{wheel.name}",))
        cache = house.cache(tmp_path)
        env = await cache.ensure(packages, lambda _: None, context=tmp_path / "context")
        assert version_in(env, "mine") == "1.0"
        context.add("mine", "1.0", text="__version__ = '1.0 changed'\n")
        again = await cache.ensure(packages, lambda _: None, context=tmp_path / "context")
        assert again.key != env.key
        assert version_in(again, "mine") == "1.0 changed"

    @pytest.mark.parametrize("path", ["dist/none.whl", "../wheels/beta-2.0-py3-none-any.whl"])
    async def test_files_outside_the_build_context_are_refused(self, house: Wheelhouse, tmp_path: Path, path: str) -> None:
        (tmp_path / "context").mkdir()
        with pytest.raises(ArmError, match="not in the build context"):
            await house.cache(tmp_path).ensure(PackageSet(requirements=(f"context:{path}",)), print, context=tmp_path / "context")


class TestIndexes:
    @pytest.fixture
    def index(self, house: Wheelhouse, tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
        """A package index on loopback: a folder a package, as the simple API has it."""
        for wheel in house.folder.iterdir():
            name = wheel.name.partition("-")[0]
            (tmp_path / "index" / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(wheel, tmp_path / "index" / name)
        handler = functools.partial(QuietHandler, directory=str(tmp_path / "index"))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
        server.server_close()

    def settings(self, index: ThreadingHTTPServer) -> dict[str, str]:
        return {"PIP_INDEX_URL": f"http://127.0.0.1:{index.server_address[1]}/", "PIP_NO_INDEX": "", "PIP_FIND_LINKS": "", "UV_HTTP_RETRIES": "0"}

    async def test_an_index_of_the_user_s_own(self, house: Wheelhouse, tmp_path: Path, index: ThreadingHTTPServer) -> None:
        env = await house.cache(tmp_path, environ=self.settings(index)).ensure(PackageSet(requirements=("alpha",)), lambda _: None)
        assert version_in(env, "alpha") == "2.0"

    async def test_an_index_that_does_not_answer_is_replaced_by_what_uv_has(
        self, house: Wheelhouse, tmp_path: Path, index: ThreadingHTTPServer
    ) -> None:
        settings = self.settings(index)
        await house.cache(tmp_path, environ=settings).ensure(PackageSet(requirements=("alpha",)), lambda _: None)
        index.shutdown()
        index.server_close()
        shutil.rmtree(tmp_path / "cache")
        lines: list[str] = []
        env = await house.cache(tmp_path, environ=settings).ensure(PackageSet(requirements=("alpha",)), lines.append)
        assert version_in(env, "alpha") == "2.0"
        with pytest.raises(ArmError) as caught:
            await house.cache(tmp_path, environ=settings).ensure(PackageSet(requirements=("never-seen",)), lines.append)
        assert "127.0.0.1" in caught.value.message


class TestFailures:
    @pytest.mark.parametrize(
        ("entry", "target", "words"),
        [
            ("alpha=9.1", "alpha==9.1.*", ("alpha", "9.1", "condaFile.dependencies[1]", "`alpha=9.1`")),
            ("nothing-like-it", "nothing-like-it", ("nothing-like-it", "not found", "condaFile.dependencies[1]")),
        ],
    )
    async def test_an_impossible_pin_names_the_requirement_the_reason_and_the_place(
        self, house: Wheelhouse, tmp_path: Path, entry: str, target: str, words: tuple[str, ...]
    ) -> None:
        packages = translate(EnvironmentSpec(conda_file={"dependencies": ["beta", entry]}))
        with pytest.raises(ArmError) as caught:
            await house.cache(tmp_path).ensure(packages, lambda _: None)
        assert (caught.value.status, caught.value.code, caught.value.target) == (400, "EnvironmentBuildFailed", target)
        for word in words:
            assert word in caught.value.message
        assert not list((tmp_path / "cache/envs").iterdir())
        assert not list((tmp_path / "cache/tmp").iterdir())

    async def test_pins_that_contradict_each_other(self, house: Wheelhouse, tmp_path: Path) -> None:
        with pytest.raises(ArmError, match=r"beta.*cannot be met") as caught:
            await house.cache(tmp_path).ensure(PackageSet(requirements=("alpha==2.0", "beta>=3")), lambda _: None)
        assert caught.value.target in ("alpha==2.0", "beta>=3")

    async def test_a_package_that_cannot_be_built_gives_the_reason(self, house: Wheelhouse, tmp_path: Path) -> None:
        project = tmp_path / "context/project"
        project.mkdir(parents=True)
        (project / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "broken"\nbackend-path = ["."]\n[project]\nname = "p"\nversion = "1"\n'
        )
        (project / "broken.py").write_text("raise RuntimeError('the compiler is on holiday')\n")
        with pytest.raises(ArmError, match="on holiday") as caught:
            await house.cache(tmp_path).ensure(PackageSet(requirements=("context:project",)), print, context=tmp_path / "context")
        assert caught.value.code == "EnvironmentBuildFailed"
        assert not list((tmp_path / "cache/tmp").iterdir())

    async def test_a_python_that_nobody_has(self, house: Wheelhouse, tmp_path: Path) -> None:
        with pytest.raises(ArmError, match="Python >=4") as caught:
            await house.cache(tmp_path).ensure(PackageSet(python=">=4"), lambda _: None)
        assert caught.value.target == "python"


class TestSoftPackages:
    async def test_are_installed_as_the_image_has_them(self, house: Wheelhouse, tmp_path: Path) -> None:
        env = await house.cache(tmp_path).ensure(PackageSet(soft=("alpha==1.*",)), lambda _: None)
        assert version_in(env, "alpha") == "1.0"
        assert env.notes == ()

    async def test_are_loosened_where_the_image_s_version_is_not_to_be_had(self, house: Wheelhouse, tmp_path: Path) -> None:
        house.add("old", "1.0", tag="cp26-none-any")
        house.add("old", "3.0")
        env = await house.cache(tmp_path).ensure(PackageSet(soft=("old==1.*", "beta")), lambda _: None)
        assert version_in(env, "old") == "3.0"
        assert any("newer ones" in note for note in env.notes)

    async def test_give_way_to_what_is_asked_for(self, house: Wheelhouse, tmp_path: Path) -> None:
        house.add("strict", "1.0", requires=["beta<2"])
        packages = PackageSet(requirements=("alpha", "beta>=2"), soft=("strict==1.*",))
        env = await house.cache(tmp_path).ensure(packages, lambda _: None)
        assert version_in(env, "beta") == "2.0"
        assert version_in(env, "strict") == ""
        assert any("left out" in note for note in env.notes)

    async def test_that_are_nowhere_fail_with_the_reason(self, house: Wheelhouse, tmp_path: Path) -> None:
        with pytest.raises(ArmError, match="nowhere"):
            await house.cache(tmp_path).ensure(PackageSet(soft=("nowhere==1.*",)), lambda _: None)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...


SCRIPT = """
import asyncio, sys
from pathlib import Path
from lazward.domain.environments import PackageSet
from tests.execution.wheelhouse import Wheelhouse, alive, printed_by, version_in
tmp, uv = Path(sys.argv[1]), sys.argv[2] or None
cache = Wheelhouse(tmp / "wheels").cache(tmp, uv=Path(uv) if uv else None)
asyncio.run(cache.ensure(PackageSet(requirements=("alpha",)), lambda line: print(line, flush=True)))
"""


def start(tmp_path: Path, uv: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path), uv], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def uv_that_stops(tmp_path: Path) -> tuple[Path, Path]:
    """A uv that, told to install, says so through a FIFO (its process id) and then does not end."""
    fifo, script = tmp_path / "fifo", tmp_path / "uv-that-stops"
    os.mkfifo(fifo)
    script.write_text(
        f'#!/bin/sh\nif [ "$1 $2" = "pip install" ]; then sleep 1000 & echo $$ $! > {fifo}; wait; fi\nexec {find_uv()} "$@"\n'
    )
    script.chmod(0o755)
    return script, fifo


class TestProcesses:
    def test_two_processes_build_once(self, house: Wheelhouse, tmp_path: Path) -> None:
        processes = [start(tmp_path) for _ in range(2)]
        outputs = [p.communicate(timeout=60)[0] for p in processes]
        assert [p.returncode for p in processes] == [0, 0], outputs
        assert sum("  installed in" not in o and "\ninstalled in" in o for o in outputs) == 1, outputs
        assert all("is ready" in o for o in outputs)
        assert len(list((tmp_path / "cache/envs").iterdir())) == 1

    async def test_who_waits_says_so_and_follows_the_build(self, house: Wheelhouse, tmp_path: Path) -> None:
        script, fifo = uv_that_stops(tmp_path)
        builder = start(tmp_path, str(script))
        parent, child = map(int, (await asyncio.to_thread(fifo.read_text)).split())
        lines: list[str] = []
        follows = asyncio.Event()

        def log(line: str) -> None:
            lines.append(line)
            if "resolving" in line:
                follows.set()

        waiter = asyncio.create_task(house.cache(tmp_path).ensure(PackageSet(requirements=("alpha",)), log))
        await asyncio.wait_for(follows.wait(), 30)
        assert "waiting for another build of the same environment" in lines
        assert "  resolving 1 requirements" in lines
        assert not waiter.done()
        builder.kill()
        builder.wait()
        assert version_in(await asyncio.wait_for(waiter, 30), "alpha") == "2.0"
        for pid in (child, parent):
            os.kill(pid, signal.SIGKILL)

    async def test_a_killed_build_leaves_nothing_half_usable(self, house: Wheelhouse, tmp_path: Path) -> None:
        script, fifo = uv_that_stops(tmp_path)
        builder = start(tmp_path, str(script))
        pids = (await asyncio.to_thread(fifo.read_text)).split()
        builder.kill()
        builder.wait()
        assert not list((tmp_path / "cache/envs").iterdir())
        assert list((tmp_path / "cache/tmp").iterdir())
        env = await house.cache(tmp_path).ensure(PackageSet(requirements=("alpha",)), lambda _: None)
        assert version_in(env, "alpha") == "2.0"
        assert not list((tmp_path / "cache/tmp").iterdir())
        for pid in map(int, pids):
            os.kill(pid, signal.SIGKILL)

    async def test_a_cancelled_build_stops_all_its_processes(self, house: Wheelhouse, tmp_path: Path) -> None:
        script, fifo = uv_that_stops(tmp_path)
        build = asyncio.create_task(house.cache(tmp_path, uv=script).ensure(PackageSet(requirements=("alpha",)), lambda _: None))
        pids = [int(p) for p in (await asyncio.to_thread(fifo.read_text)).split()]
        build.cancel()
        with pytest.raises(asyncio.CancelledError):
            await build
        assert not any(alive(pid) for pid in pids)
        assert not list((tmp_path / "cache/tmp").iterdir())
        env = await house.cache(tmp_path).ensure(PackageSet(requirements=("alpha",)), lambda _: None)  # the lock is free again
        assert version_in(env, "alpha") == "2.0"


class TestSettings:
    async def test_a_python_is_fetched_only_where_that_is_allowed(self, house: Wheelhouse, tmp_path: Path) -> None:
        calls = tmp_path / "calls"
        script = tmp_path / "uv-that-notes"
        script.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n[ "$1" = python ] && exit 1\nexec {find_uv()} "$@"\n')
        script.chmod(0o755)
        await house.cache(tmp_path, uv=script).ensure(PackageSet(python="3.77"), lambda _: None)
        assert "python install" not in calls.read_text()
        lines: list[str] = []
        env = await house.cache(tmp_path / "b", uv=script, python_downloads=True).ensure(PackageSet(python="3.77"), lines.append)
        assert "python install --no-bin 3.77" in calls.read_text()
        assert any("could not be fetched" in line for line in lines)
        assert any("3.77 was asked for" in note for note in env.notes)

    def test_folders_are_private(self, tmp_path: Path, house: Wheelhouse) -> None:
        cache: EnvironmentCache = house.cache(tmp_path)
        assert all(path.stat().st_mode & 0o077 == 0 for path in cache.root.iterdir())
