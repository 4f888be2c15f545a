"""The user's own index settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from lazward.execution.pip_settings import IndexSettings, job_environment, read_settings, tool_environment


def read(tmp_path: Path, environ: dict[str, str] | None = None, **files: str) -> IndexSettings:
    """Settings with a home of their own; `files` are its files by path (/ as __, . as _dot_)."""
    for name, content in files.items():
        path = tmp_path / name.replace("_dot_", ".").replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    base = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_DIRS": str(tmp_path / "xdg")}
    return read_settings(base | (environ or {}), prefix=str(tmp_path / "prefix"), platform="linux", system=tmp_path / "etc")


class TestPipFiles:
    def test_later_files_and_variables_win(self, tmp_path: Path) -> None:
        files = {
            "xdg__pip__pip_dot_conf": "[global]\nindex-url = https://xdg\ntimeout = 1\nproxy = http://p\ncert = /c\n",
            "home___dot_config__pip__pip_dot_conf": "[global]\nindex_url = https://user\ntimeout=2\n[install]\nextra-index-url =\n  https://a\n  https://b\n",
            "etc__pip_dot_conf": "[global]\nindex-url = https://etc\ntimeout = 1.5\n",
            "prefix__pip_dot_conf": "[global]\ntimeout = 3\n[download]\nindex-url = https://not-this\n",
        }
        settings = read(tmp_path, {"PIP_TIMEOUT": "4", "PIP_TRUSTED_HOST": "h1 h2"}, **files)
        assert settings.index_url == "https://user"
        assert settings.extra_index_urls == ("https://a", "https://b")
        assert (settings.timeout_s, settings.proxy, settings.cert, settings.trusted_hosts) == ("4", "http://p", "/c", ("h1", "h2"))

    def test_a_named_file(self, tmp_path: Path) -> None:
        named = tmp_path / "named.conf"
        named.write_text("[global]\nno-index = true\npre = yes\nonly-binary = a,b\n")
        settings = read(tmp_path, {"PIP_CONFIG_FILE": str(named)})
        assert (settings.no_index, settings.pre, settings.only_binary) == (True, True, ("a", "b"))
        assert settings.arguments() == ["--no-index", "--only-binary", "a", "--only-binary", "b"]

    def test_no_file_at_all(self, tmp_path: Path) -> None:
        files = {"home___dot_config__pip__pip_dot_conf": "[global]\nindex-url = https://user\n"}
        assert read(tmp_path, {"PIP_CONFIG_FILE": "/dev/null"}, **files).index_url == ""

    def test_macos_has_its_own_place(self, tmp_path: Path) -> None:
        path = tmp_path / "Library/Application Support/pip/pip.conf"
        path.parent.mkdir(parents=True)
        path.write_text("[global]\nindex-url = https://mac\n")
        assert read_settings({"HOME": str(tmp_path)}, str(tmp_path), "darwin", tmp_path).index_url == "https://mac"

    def test_a_broken_file_is_passed_over(self, tmp_path: Path) -> None:
        assert read(tmp_path, home___dot_pip__pip_dot_conf="not ini").index_url == ""


class TestPlaces:
    def test_local_places_that_do_not_exist_are_left_out_and_noted(self, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir()
        there = f"file://{tmp_path}/there"
        settings = read(tmp_path, {"PIP_EXTRA_INDEX_URL": f"{there} file:///nowhere/simple https://h", "PIP_FIND_LINKS": f"/nowhere {tmp_path}/there"})
        assert settings.extra_index_urls == (there, "https://h")
        assert settings.find_links == (str(tmp_path / "there"),)
        assert settings.local_find_links() == [tmp_path / "there"]
        assert len(settings.notes) == 2

    def test_nothing_shadows_anything_unless_the_user_wants_it(self, tmp_path: Path) -> None:
        assert read(tmp_path).variables()["UV_INDEX_STRATEGY"] == "unsafe-best-match"
        assert "UV_INDEX_STRATEGY" not in read(tmp_path, {"UV_INDEX_STRATEGY": "first-index"}).variables()


class TestUvSettings:
    @pytest.mark.parametrize(
        ("environ", "variables"),
        [
            ({"UV_DEFAULT_INDEX": "https://uv"}, {"UV_INDEX": "https://p2", "UV_FIND_LINKS": "https://p3"}),
            ({"UV_INDEX": "https://uv"}, {"UV_DEFAULT_INDEX": "https://p1", "UV_INDEX": "https://uv", "UV_FIND_LINKS": "https://p3"}),
            ({"UV_FIND_LINKS": "https://uv"}, {"UV_DEFAULT_INDEX": "https://p1", "UV_INDEX": "https://p2", "UV_FIND_LINKS": "https://uv"}),
        ],
    )
    def test_count_more_than_pip_s(self, tmp_path: Path, environ: dict[str, str], variables: dict[str, str]) -> None:
        pip = {"PIP_INDEX_URL": "https://p1", "PIP_EXTRA_INDEX_URL": "https://p2", "PIP_FIND_LINKS": "https://p3"}
        assert read(tmp_path, pip | environ).variables() == variables | {"UV_INDEX_STRATEGY": "unsafe-best-match"}

    def test_also_those_of_uv_s_files(self, tmp_path: Path) -> None:
        toml = '[[index]]\nurl = "https://uv"\ndefault = true\n[pip]\nfind-links = ["https://l"]\nindex-strategy = "first-index"\n'
        pip = {"PIP_INDEX_URL": "https://p1", "PIP_EXTRA_INDEX_URL": "https://p2", "PIP_FIND_LINKS": "https://p3"}
        assert read(tmp_path, pip, home___dot_config__uv__uv_dot_toml=toml).variables() == {}


class TestWithOptions:
    def test_an_index_url_replaces_the_others_add(self) -> None:
        settings = IndexSettings(index_url="https://one", extra_index_urls=("https://two",), find_links=("/a",))
        merged = settings.with_options(
            ["--index-url https://three", "--extra-index-url https://four", "--find-links /b", "--no-index", "--pre", "--no-binary x,y",
             "--trusted-host h"]
        )  # fmt: skip
        assert merged.index_url == "https://three"
        assert merged.extra_index_urls == ("https://two", "https://four")
        assert merged.find_links == ("/a", "/b")
        assert (merged.no_index, merged.pre, merged.no_binary, merged.trusted_hosts) == (True, True, ("x", "y"), ("h",))


class TestFingerprint:
    def test_changes_with_where_packages_come_from(self, tmp_path: Path) -> None:
        limits = tmp_path / "limits.txt"
        limits.write_text("a<1")
        settings = [
            read(tmp_path),
            read(tmp_path, {"PIP_INDEX_URL": "https://one"}),
            read(tmp_path, {"PIP_EXTRA_INDEX_URL": "https://one"}),
            read(tmp_path, {"UV_EXCLUDE_NEWER": "2024-01-01"}),
            read(tmp_path, {"PIP_CONSTRAINT": str(limits)}),
        ]
        found = [s.fingerprint() for s in settings]
        limits.write_text("a<2")
        found.append(settings[-1].fingerprint())
        assert len(set(found)) == len(found)

    def test_does_not_change_with_what_is_unrelated_or_show_secrets(self, tmp_path: Path) -> None:
        assert read(tmp_path, {"A": "1", "PIP_TIMEOUT": "3"}).fingerprint() == read(tmp_path).fingerprint()
        assert "pass" not in read(tmp_path, {"PIP_INDEX_URL": "https://u:pass@h"}).fingerprint()


class TestEnvironments:
    def test_a_tool_sees_no_secret_of_the_server(self) -> None:
        environ = {"PATH": "/bin", "HOME": "/h", "https_proxy": "p", "UV_CACHE_DIR": "/c", "UV_PYTHON": "3.1", "UV_PUBLISH_TOKEN": "t",
                   "AZURE_CLIENT_SECRET": "s", "PYTHONPATH": "/x", "VIRTUAL_ENV": "/v", "SSL_CERT_FILE": "/s"}  # fmt: skip
        assert tool_environment(environ) == {
            "PATH": "/bin", "HOME": "/h", "https_proxy": "p", "UV_CACHE_DIR": "/c", "SSL_CERT_FILE": "/s",
        }  # fmt: skip

    def test_a_job_s_pip_gets_what_the_server_s_files_and_variables_say(self, tmp_path: Path) -> None:
        path = tmp_path / ".config/pip/pip.conf"
        path.parent.mkdir(parents=True)
        path.write_text("[global]\nextra-index-url = https://a\n  https://b\nuser = true\ntarget = /x\n")
        environ = {"HOME": str(tmp_path), "PIP_CERT": "/c", "UV_TORCH_BACKEND": "cpu", "UV_PUBLISH_TOKEN": "t"}
        found = job_environment(environ, str(tmp_path), "linux", tmp_path)
        assert found["PIP_EXTRA_INDEX_URL"] == "https://a https://b"
        assert (found["PIP_CERT"], found["UV_TORCH_BACKEND"], found["PIP_USER"], found["PIP_NO_INPUT"]) == ("/c", "cpu", "0", "1")
        assert not {"PIP_TARGET", "UV_PUBLISH_TOKEN", "HOME"} & found.keys()
