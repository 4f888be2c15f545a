"""Build contexts as package sets."""

from __future__ import annotations

import pytest

from lazward.contract.errors import ArmError
from lazward.domain.environments import EnvironmentSpec, PackageSet, translate


def build(dockerfile: str, files: dict | None = None) -> PackageSet:
    return translate(EnvironmentSpec(dockerfile=dockerfile, context_files=files or {}))


def notes(packages: PackageSet) -> str:
    return "\n".join(packages.notes)


class TestPip:
    def test_requirement_files_of_the_context(self) -> None:
        read: list[str] = []

        def requirements() -> bytes:
            read.append("requirements.txt")
            return b"numpy==1.22\n# trees\nxgboost==1.4.2\n-r more.txt\n"

        files = {"requirements.txt": requirements, "more.txt": "six", "data.bin": lambda: pytest.fail("not to be read")}
        dockerfile = "FROM python:3.8\nCOPY requirements.txt more.txt .\nRUN pip install -r requirements.txt && rm requirements.txt\n"
        packages = build(dockerfile, files)
        assert packages.python == "3.8"
        assert packages.requirements == ("numpy==1.22", "xgboost==1.4.2", "six")
        assert read == ["requirements.txt"]

    @pytest.mark.parametrize(
        "line",
        [
            "RUN pip install six==1.16",
            "RUN pip3 install --no-cache-dir -q 'six==1.16'",
            'RUN ["pip", "install", "six==1.16"]',
            "RUN python -m pip install --upgrade six==1.16",
            "RUN /opt/conda/bin/pip3.10 install six==1.16",
            "RUN uv pip install --system six==1.16",
            "RUN conda run -n base --no-capture-output python3 -m pip install six==1.16",
            "RUN sudo env A=1 pip --quiet install six==1.16",
            "RUN bash -lc 'source x && pip install six==1.16'",
            "RUN --mount=type=cache,target=/root/.cache pip install six==1.16",
            "RUN <<EOF\nset -e\npip install \\\n  six==1.16\nEOF",
            "ARG V=1.16\nRUN pip install six==$V",
            "ENV V 1.16\nRUN pip install six==${V}",
            "RUN export V=1.16; pip install six==$V",
            "RUN if [ -x /bin/a ]; then pip install six==1.16; fi",
            "RUN pip install -i https://i.example/simple six==1.16 --timeout 3",
        ],
    )
    def test_forms_of_a_pip_line(self, line: str) -> None:
        assert build(f"FROM python:3.10\n{line}\n").requirements == ("six==1.16",)

    def test_later_lines_win_as_with_pip(self) -> None:
        packages = build("FROM python:3.10\nRUN pip install a==1 b==1 c\nRUN pip install a==2 b\nRUN pip install -U b c\n")
        assert packages.requirements == ("a==2", "b", "c")

    def test_index_options_and_pip_variables(self) -> None:
        packages = build(
            "FROM python:3.10\nENV PIP_EXTRA_INDEX_URL=https://one.example/simple\nRUN pip install -f/w --index-url=https://two.example x\n"
            "RUN pip config set global.find-links https://three.example\n"
        )
        assert packages.options == (
            "--extra-index-url https://one.example/simple", "--find-links /w", "--index-url https://two.example",
            "--find-links https://three.example",
        )  # fmt: skip

    def test_projects_and_wheels_of_the_context(self) -> None:
        files = {"src/pyproject.toml": "", "dist/a-1-py3-none-any.whl": b"", "pyproject.toml": ""}
        packages = build(
            "FROM python:3.10\nWORKDIR /app\nCOPY . .\nRUN pip install . ./src[extra] && pip install dist/*.whl -e src\n", files
        )
        assert packages.requirements == ("context:.", "context:src[extra]", "context:dist/a-1-py3-none-any.whl", "context:src")

    def test_a_version_that_only_a_shell_knows_is_left_open(self) -> None:
        packages = build("FROM python:3.10\nRUN export V=$(pip show x) && pip install server==$V\n")
        assert packages.requirements == ("server",)
        assert "known to a container build only" in notes(packages)

    def test_the_image_brings_soft_packages_that_pip_lines_replace(self) -> None:
        packages = build("FROM mcr.microsoft.com/azureml/curated/sklearn-1.5\nRUN pip install 'pandas>=2'\n")
        assert packages.requirements == ("pandas>=2",)
        assert "scikit-learn==1.5.*" in packages.soft
        assert not any(s.startswith("pandas") for s in packages.soft)


class TestConda:
    CONDA = "name: x\ndependencies: [python=3.9, numpy=1.21, {pip: [six]}]\n"

    @pytest.mark.parametrize(
        "command",
        [
            "conda env create -p $P -f conda.yaml -q",
            "conda env create -n userenv --file=/tmp/conda.yaml",
            "conda env create -f conda_dependencies.yaml",
            "mamba env create --file conda.yaml && conda clean -a -y",
        ],
    )
    def test_env_create_replaces_what_the_image_has(self, command: str) -> None:
        files = {"environment/conda.yaml": self.CONDA, "conda_dependencies.yaml": self.CONDA}
        packages = build(
            "FROM mcr.microsoft.com/azureml/minimal-py312-inference\nENV P /envs/x\nCOPY environment/conda.yaml /tmp/conda.yaml\n"
            f"COPY conda_dependencies.yaml .\nRUN {command}\n",
            files,
        )
        assert packages.python == "3.9"
        assert packages.requirements == ("numpy==1.21.*", "six")
        assert packages.soft == ()

    def test_env_update_adds_to_what_the_image_has(self) -> None:
        packages = build(
            "FROM mcr.microsoft.com/azureml/minimal-py312-inference\nCOPY conda.yaml /tmp/\nRUN conda env update -n amlenv --file /tmp/conda.yaml\n",
            {"conda.yaml": self.CONDA},
        )
        assert "azureml-inference-server-http" in packages.soft
        assert "numpy==1.21.*" in packages.requirements

    def test_install_and_create(self) -> None:
        packages = build("FROM continuumio/miniconda3\nRUN conda create -n e -c conda-forge -y python=3.8 'pandas~=1.5.3' pip=23\n"
                         "RUN conda install -n e -y --file list.txt cudatoolkit\n", {"list.txt": "numpy 1.2*\n# x\nsix\n"})  # fmt: skip
        assert packages.python == "3.8"
        assert packages.requirements == ("pandas~=1.5.3", "pip==23.*", "numpy==1.2.*", "six")
        assert "cudatoolkit" in notes(packages)


class TestTheRest:
    def test_environment_variables_without_those_of_the_file_system(self) -> None:
        packages = build("FROM python:3.10\nENV PATH=/opt/bin:$PATH LEVEL=1\nENV NAME a b\nENV TWICE=$LEVEL$LEVEL\n")
        assert packages.env == {"LEVEL": "1", "NAME": "a b", "TWICE": "11"}
        assert "PATH" in notes(packages)

    def test_stages(self) -> None:
        packages = build(
            "ARG BASE=python:3.9\nFROM ${BASE} AS base\nRUN pip install a\nFROM python:3.8 AS other\nRUN pip install b\n"
            "FROM base\nCOPY --from=other /x /y\nRUN pip install c\n"
        )
        assert packages.python == "3.9"
        assert packages.requirements == ("a", "c")

    def test_what_is_not_done_is_noted(self) -> None:
        packages = build(
            "FROM ubuntu\nRUN apt-get update && apt-get install -y --no-install-recommends git curl\n"
            "RUN git clone x && make -j && ./a && ./b && rm -rf y\n"
        )
        assert "apt-get packages are not installed (git, curl)" in notes(packages)
        assert "line 3: not run, as no container is built: `git clone x`, `make -j`, `./a` and 1 more" in notes(packages)
        assert "rm" not in notes(packages)

    @pytest.mark.parametrize(
        ("dockerfile", "words"),
        [
            ("", "no FROM"),
            ("RUN pip install x\n", "line 1"),
            ("FROM\n", "names no image"),
            ("FROM python\nRUN pip install -r nothing.txt\n", "nothing.txt"),
            ("FROM python\n\nRUN conda env create -f nothing.yml\n", "line 3"),
            ("FROM python\nRUN pip install 'a=1'\n", "`==`"),
            ("FROM python\nRUN pip install $WHAT\n", "$WHAT"),
            ("FROM python\nRUN pip install ./gone\n", "./gone"),
            ("FROM python\nRUN conda install r-base\n", "r-base"),
        ],
    )
    def test_errors_name_the_line(self, dockerfile: str, words: str) -> None:
        with pytest.raises(ArmError) as caught:
            build(dockerfile)
        assert words in caught.value.message
        assert caught.value.target == "build.dockerfilePath"
        assert caught.value.code == "InvalidEnvironment"

    def test_a_conda_file_that_may_be_missing(self) -> None:
        packages = build('FROM python\nRUN if [ -f "/tmp/e.yml" ]; then conda env update -f /tmp/e.yml; fi\n')
        assert "left out" in notes(packages)

    def test_paths_do_not_leave_the_context(self) -> None:
        with pytest.raises(ArmError, match="not in the build context"):
            build("FROM python\nRUN pip install -r ../../etc/passwd\n", {"a": "b"})

    def test_bytes_that_are_no_text(self) -> None:
        with pytest.raises(ArmError, match="UTF-8"):
            build("FROM python\nCOPY r.txt .\nRUN pip install -r r.txt\n", {"r.txt": b"\xff\x00\x80"})
