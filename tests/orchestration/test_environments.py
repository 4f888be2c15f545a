"""Build contexts as clients upload them, with real files of every kind, built by the real cache out of wheels made here."""

from __future__ import annotations

import asyncio
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from lazward.contract.errors import ArmError
from lazward.orchestration import environments
from lazward.orchestration.environments import contexts_of, definition_of
from tests.execution.wheelhouse import Wheelhouse, version_in
from tests.orchestration.place import HOME, Place

ENVIRONMENT = f"{HOME}/environments/mine/versions/1"
ODD = bytes(range(256)) * 4


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    """What can be had from the package index: alpha 1 and 2, which needs beta."""
    made = Wheelhouse(tmp_path / "index")
    for version in ("1.0", "2.0"):
        made.add("alpha", version, requires=["beta"])
    made.add("beta", "1.0")
    return made


@pytest.fixture
def built_by(place: Place, house: Wheelhouse) -> Place:
    place.environments = place.runtime.environments = house.cache(place.folder)  # type: ignore[assignment]
    return place


async def upload(place: Place, files: Mapping[str, bytes | str], name: str = "mine", dockerfile: str | None = None) -> None:
    """A build context in the workspace's store, and the environment that names it."""
    account = place.account
    await place.blobs.ensure_container(account, "contexts")
    for path, content in files.items():
        await place.blobs.put(account, "contexts", f"{name}/{path}", content.encode() if isinstance(content, str) else content)
    build = {"contextUri": f"https://{account}.blob.core.windows.net/contexts/{name}/", **({"dockerfilePath": dockerfile} if dockerfile else {})}
    place.put(f"environments/{name}/versions/1", {"build": build})


async def made(place: Place, environment: str = ENVIRONMENT):
    definition = await definition_of(place.runtime, HOME.lower(), environment, "properties.environmentId")
    return await environments.build(place.runtime, definition, lambda line: None)


def wheel_of(folder: Path, name: str, version: str, **more) -> Path:
    return Wheelhouse(folder).add(name, version, **more)


class TestWhatADockerfileNames:
    async def test_a_requirements_file_beside_binary_files(self, built_by: Place):
        await upload(built_by, {
            "Dockerfile": "FROM python:3.11\nCOPY data/model.bin /opt/\nCOPY requirements.txt /tmp/r.txt\nRUN pip install --no-cache-dir -r /tmp/r.txt\n",
            "requirements.txt": "# what we need\nalpha==1.0\n", "data/model.bin": ODD, "images/logo.png": b"\x89PNG\r\n" + ODD,
        })
        assert version_in(await made(built_by), "alpha") == "1.0"

    async def test_a_requirements_file_as_windows_writes_it(self, built_by: Place):
        await upload(built_by, {"Dockerfile": "\ufeffFROM python:3.11\r\nCOPY . /app\r\nWORKDIR /app\r\nRUN pip install -r requirements.txt\r\n", "requirements.txt": "alpha==1.0\r\n".encode("utf-16")})
        assert version_in(await made(built_by), "alpha") == "1.0"

    async def test_a_conda_file(self, built_by: Place):
        await upload(built_by, {
            "docker/Dockerfile": "FROM mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04\nCOPY conda.yaml .\nRUN conda env create -n e -f conda.yaml && rm conda.yaml\nENV MODE=train\n",
            "conda.yaml": "name: e\ndependencies:\n- pip\n- pip:\n  - alpha<2\n",
        }, dockerfile="./docker/Dockerfile")
        definition = await definition_of(built_by.runtime, HOME.lower(), ENVIRONMENT, "properties.environmentId")
        assert definition.packages.env["MODE"] == "train"
        assert version_in(await environments.build(built_by.runtime, definition, lambda line: None), "alpha") == "1.0"

    async def test_a_wheel_of_the_context(self, built_by: Place, tmp_path: Path):
        wheel = wheel_of(tmp_path / "own", "mine", "3.0", requires=["alpha<2"])
        await upload(built_by, {"Dockerfile": f"FROM python:3.11\nCOPY dist/ /wheels/\nRUN pip install /wheels/{wheel.name}\n", f"dist/{wheel.name}": wheel.read_bytes()})
        environment = await made(built_by)
        assert (version_in(environment, "mine"), version_in(environment, "alpha")) == ("3.0", "1.0")

    async def test_a_wheel_larger_than_any_text(self, built_by: Place, tmp_path: Path):
        wheel = wheel_of(tmp_path / "own", "mine", "3.0", text="__version__ = '3.0'\n")
        with zipfile.ZipFile(wheel, "a", zipfile.ZIP_STORED) as out:
            out.writestr("mine/weights.bin", ODD * 5000)
        assert wheel.stat().st_size > 4 << 20
        await upload(built_by, {"Dockerfile": "FROM python:3.11\nCOPY *.whl /w/\nRUN pip install /w/*.whl\n", wheel.name: wheel.read_bytes()})
        environment = await made(built_by)
        assert (environment.site_packages / "mine" / "weights.bin").read_bytes() == ODD * 5000


class TestCache:
    async def test_the_same_content_is_built_once_and_other_content_anew(self, built_by: Place, tmp_path: Path):
        dockerfile = "FROM python:3.11\nCOPY *.whl /w/\nRUN pip install /w/mine-3.0-py3-none-any.whl\n"
        wheel = wheel_of(tmp_path / "own", "mine", "3.0")
        files = {"Dockerfile": dockerfile, wheel.name: wheel.read_bytes()}
        await upload(built_by, files)
        await upload(built_by, {**files, "README": "differs, and is not installed"}, name="again")
        first = await made(built_by)
        again = await made(built_by, f"{HOME}/environments/again/versions/1")
        assert again.path == first.path
        other = wheel_of(tmp_path / "other", "mine", "3.0", text="__version__ = '3.0 changed'\n")
        await upload(built_by, {**files, wheel.name: other.read_bytes()}, name="changed")
        changed = await made(built_by, f"{HOME}/environments/changed/versions/1")
        assert changed.path != first.path and version_in(changed, "mine") == "3.0 changed"
        assert version_in(first, "mine") == "3.0"

    async def test_a_pruned_one_comes_back_as_it_was(self, built_by: Place, tmp_path: Path):
        wheel = wheel_of(tmp_path / "own", "mine", "3.0", requires=["alpha"])
        await upload(built_by, {"Dockerfile": f"FROM python:3.11\nCOPY {wheel.name} /\nRUN pip install /{wheel.name}\n", wheel.name: wheel.read_bytes()})
        first = await made(built_by)
        first.path.rename(tmp_path / "pruned")
        Wheelhouse(tmp_path / "index").add("alpha", "3.0")  # a newer one: the lock says 2.0
        again = await made(built_by)
        assert (again.path, version_in(again, "mine"), version_in(again, "alpha")) == (first.path, "3.0", "2.0")

    async def test_many_at_once_leave_no_folder_behind(self, built_by: Place, tmp_path: Path):
        wheel = wheel_of(tmp_path / "own", "mine", "3.0")
        await upload(built_by, {"Dockerfile": f"FROM python:3.11\nCOPY {wheel.name} /\nRUN pip install /{wheel.name}\n", wheel.name: wheel.read_bytes()})
        built = await asyncio.gather(*(made(built_by) for _ in range(4)))
        assert len({environment.path for environment in built}) == 1
        assert not [path for path in contexts_of(built_by.folder).iterdir() if path.is_dir()]

    async def test_the_stored_files_stay_as_they_are(self, built_by: Place, tmp_path: Path):
        wheel = wheel_of(tmp_path / "own", "mine", "3.0")
        await upload(built_by, {"Dockerfile": f"FROM python:3.11\nCOPY {wheel.name} /\nRUN pip install /{wheel.name}\n", wheel.name: wheel.read_bytes()})
        await made(built_by)
        stored = await built_by.blobs.read_all(built_by.account, "contexts", f"mine/{wheel.name}")
        assert hashlib.sha256(stored).digest() == hashlib.sha256(wheel.read_bytes()).digest()


async def test_a_job_runs_in_it_and_one_that_cannot_be_built_says_why(built_by: Place, tmp_path: Path):
    wheel = wheel_of(tmp_path / "own", "mine", "3.0")
    files = {"Dockerfile": f"FROM python:3.11\nCOPY . /app\nRUN pip install /app/{wheel.name}\n", wheel.name: wheel.read_bytes()}
    await upload(built_by, files)
    built_by.job("good", "python -c 'import mine; print(mine.__version__)'", environmentId=ENVIRONMENT)
    await upload(built_by, {"Dockerfile": files["Dockerfile"], wheel.name: ODD}, name="broken")
    built_by.job("bad", "echo never", environmentId=f"{HOME}/environments/broken/versions/1")
    await built_by.start()
    assert (await built_by.over("good"))["status"] == "Completed" and await built_by.log("good") == "3.0\n"
    bad = await built_by.over("bad")
    assert (bad["status"], bad["error"]["code"]) == ("Failed", "EnvironmentBuildFailed") and wheel.name in bad["error"]["message"]


class TestRefusals:
    @pytest.mark.parametrize(("files", "dockerfile", "code", "said"), [
        ({"x": "y"}, None, "InvalidBuildContext", "no Dockerfile 'Dockerfile'"),
        ({"Dockerfile": "FROM python:3.11\n"}, "other/Dockerfile", "InvalidBuildContext", "no Dockerfile 'other/Dockerfile'"),
        ({"Dockerfile": b"FROM python\xff\n"}, None, "InvalidEnvironment", "no UTF-8 text"),
        ({"Dockerfile": "FROM python:3.11\nCOPY r.txt /\nRUN pip install -r /r.txt\n", "r.txt": ODD}, None, "InvalidEnvironment", "`r.txt` is no UTF-8 text"),
        ({"Dockerfile": "FROM python:3.11\nRUN pip install -r /r.txt\n"}, None, "InvalidEnvironment", "r.txt"),
        ({"Dockerfile": "FROM python:3.11\nCOPY r.txt /\nRUN pip install -r /r.txt\n", "r.txt": b"#" * ((4 << 20) + 1)}, None, "InvalidEnvironment", "larger than 4 MiB"),
        ({"Dockerfile": "FROM python:3.11\nCOPY . /a\nRUN pip install /a/no.whl\n"}, None, "InvalidEnvironment", "no.whl"),
    ])
    async def test_the_file_is_named(self, built_by: Place, files, dockerfile, code: str, said: str):
        await upload(built_by, files, dockerfile=dockerfile)
        with pytest.raises(ArmError) as caught:
            await made(built_by)
        assert (caught.value.status, caught.value.code) == (400, code) and said in caught.value.message

    async def test_a_context_on_the_web(self, built_by: Place):
        built_by.put("environments/mine/versions/1", {"build": {"contextUri": "https://example.com/c/"}})
        with pytest.raises(ArmError) as caught:
            await made(built_by)
        assert (caught.value.code, caught.value.target) == ("InvalidBuildContext", "properties.environmentId.build.contextUri")
