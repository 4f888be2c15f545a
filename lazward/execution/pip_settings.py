"""The user's own package index settings: pip's variables and files, uv's natively, in the words that uv understands."""

from __future__ import annotations

import configparser
import hashlib
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

# uv variables that would make it act on something else than the environment it is told to build.
_UV_LEFT_OUT = re.compile(r"^UV_(PYTHON|SYSTEM_PYTHON|BREAK_SYSTEM_PACKAGES|TARGET|PREFIX|PROJECT.*|WORKING_DIR|PUBLISH_.*|INSTALLER_.*|VENV_.*|"
                          r"INTERNAL__.*|RUN_.*|ENV_FILE|NO_PROJECT|SHOW_.*|TOOL_.*|REQUIRE_HASHES|OUTPUT_.*)$")  # fmt: skip
# What else a tool that fetches and builds packages may see of the server's environment: nothing of it is a secret of the server.
_TOOL_VARIABLES = re.compile(
    r"^(PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_.*|TZ|TMPDIR|XDG_.*|UV_.*|SSL_CERT_FILE|SSL_CERT_DIR|SSL_CLIENT_CERT|NETRC|SSH_AUTH_SOCK"
    r"|GIT_SSH.*|GIT_SSL_.*|CC|CXX|CFLAGS|CXXFLAGS|LDFLAGS|CPPFLAGS|AR|MAKEFLAGS|PKG_CONFIG_PATH|CMAKE_.*|CUDA_HOME|CUDA_PATH|CARGO_HOME"
    r"|RUSTUP_HOME|MACOSX_DEPLOYMENT_TARGET|SDKROOT|DEVELOPER_DIR|LD_LIBRARY_PATH|(https?|all|no)_proxy)$",
    re.IGNORECASE,
)
# What a job's own pip and uv need to find packages as the server does.
_JOB_PIP = re.compile(
    r"^(index-url|pypi-url|extra-index-url|find-links|no-index|trusted-host|cert|client-cert|proxy|(default-)?timeout|retries|constraint|pre"
    r"|only-binary|no-binary|prefer-binary|cache-dir|no-cache-dir|keyring-provider)$"
)
_JOB_UV = re.compile(
    r"^UV_(DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|INDEX_STRATEGY|CACHE_DIR|LINK_MODE|TORCH_BACKEND|INSECURE_HOST"
    r"|SYSTEM_CERTS|NATIVE_TLS|CONSTRAINT|EXCLUDE_NEWER|OFFLINE|INDEX_.*_(USERNAME|PASSWORD))$"
)


class IndexSettings(msgspec.Struct, frozen=True):
    """Where packages come from. Empty means: as uv does by itself. Local paths that do not exist are left out and noted."""

    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    cert: str = ""
    client_cert: str = ""
    proxy: str = ""
    timeout_s: str = ""
    pre: bool = False
    only_binary: tuple[str, ...] = ()
    no_binary: tuple[str, ...] = ()
    constraint_files: tuple[str, ...] = ()
    index_strategy: str = "unsafe-best-match"  # as pip: the best version of all indexes, none shadows another
    native: tuple[str, ...] = ()  # contents of uv's own settings, for the fingerprint
    notes: tuple[str, ...] = ()

    def with_options(self, options: Sequence[str]) -> IndexSettings:
        """The settings with the options of an environment file on top: as in pip, its --index-url replaces, the others add."""
        values: dict[str, list[str]] = {}
        for option in options:
            name, _, value = option.partition(" ")
            values.setdefault(name, []).append(value.strip())
        indexes = values.get("--index-url", [])
        return msgspec.structs.replace(
            self,
            index_url=indexes[-1] if indexes else self.index_url,
            extra_index_urls=_unique(self.extra_index_urls, values.get("--extra-index-url", [])),
            find_links=_unique(self.find_links, values.get("--find-links", [])),
            trusted_hosts=_unique(self.trusted_hosts, values.get("--trusted-host", [])),
            no_index=self.no_index or "--no-index" in values,
            pre=self.pre or "--pre" in values,
            only_binary=_unique(self.only_binary, _split(",".join(values.get("--only-binary", [])))),
            no_binary=_unique(self.no_binary, _split(",".join(values.get("--no-binary", [])))),
        )

    def variables(self) -> dict[str, str]:
        """The settings as variables of uv: unlike arguments, they are not shown to other users of the machine."""
        found = {
            "UV_DEFAULT_INDEX": self.index_url,
            "UV_INDEX": " ".join(self.extra_index_urls),
            "UV_FIND_LINKS": ",".join(self.find_links),
            "UV_INSECURE_HOST": " ".join(self.trusted_hosts),
            "UV_INDEX_STRATEGY": self.index_strategy,
            "UV_PRERELEASE": "allow" if self.pre else "",
            "UV_HTTP_TIMEOUT": self.timeout_s,
            "SSL_CERT_FILE": self.cert,
            "SSL_CLIENT_CERT": self.client_cert,
            "ALL_PROXY": self.proxy,
        }
        return {name: value for name, value in found.items() if value}

    def arguments(self) -> list[str]:
        found = ["--no-index"] if self.no_index else []
        for package in self.only_binary:
            found += ["--only-binary", package]
        for package in self.no_binary:
            found += ["--no-binary", package]
        return found

    def local_find_links(self) -> list[Path]:
        """The folders among the find-links."""
        paths = [_local_path(link) for link in self.find_links]
        return [p for p in paths if p is not None and p.is_dir()]

    def fingerprint(self) -> str:
        """Changes when packages may come from somewhere else. It holds no secret that the settings have."""
        fields = msgspec.structs.asdict(self) | {"notes": (), "timeout_s": "", "constraints": [_content(f) for f in self.constraint_files]}
        return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()


def read_settings(
    environ: Mapping[str, str], prefix: str = sys.prefix, platform: str = sys.platform, system: Path = Path("/etc")
) -> IndexSettings:
    """pip's configuration files (global, user, site, PIP_CONFIG_FILE) and variables. Where the user has told uv itself about indexes or
    find-links (UV_* or uv.toml), uv's word counts and pip's is not used."""
    pip = _pip_values(environ, prefix, platform, system)
    uv = _uv_files(environ, system)
    native_keys = {k for _, document in uv for table in (document, document.get("pip", {})) for k in table} if uv else set()
    uv_index = any(environ.get(v) for v in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"))
    uv_extra = any(environ.get(v) for v in ("UV_INDEX", "UV_EXTRA_INDEX_URL"))
    uv_links = bool(environ.get("UV_FIND_LINKS"))
    notes: list[str] = []
    native = [f"{k}={v}" for k, v in sorted(environ.items()) if k.startswith("UV_") and not _UV_LEFT_OUT.match(k)]
    links = [] if uv_links or "find-links" in native_keys else _split(pip.get("find-links", ""))
    extra = [] if uv_extra or native_keys & {"extra-index-url", "index"} else _split(pip.get("extra-index-url", ""))
    index = "" if uv_index or native_keys & {"index-url", "index"} else pip.get("index-url", pip.get("pypi-url", ""))
    return IndexSettings(
        index_url=index,
        extra_index_urls=_existing([*_split(environ.get("UV_INDEX", "") or environ.get("UV_EXTRA_INDEX_URL", "")), *extra], notes),
        find_links=_existing([*_split(environ.get("UV_FIND_LINKS", "")), *links], notes),
        no_index=_true(pip.get("no-index", "")),
        trusted_hosts=tuple([*_split(environ.get("UV_INSECURE_HOST", "")), *_split(pip.get("trusted-host", ""))]),
        cert=environ.get("SSL_CERT_FILE") or pip.get("cert") or environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE") or "",
        client_cert=environ.get("SSL_CLIENT_CERT") or pip.get("client-cert", ""),
        proxy=pip.get("proxy", ""),
        timeout_s=environ.get("UV_HTTP_TIMEOUT") or pip.get("timeout", pip.get("default-timeout", "")),
        pre=_true(pip.get("pre", "")),
        only_binary=tuple(_split(pip.get("only-binary", ""))),
        no_binary=tuple(_split(pip.get("no-binary", ""))),
        constraint_files=_existing(_split(pip.get("constraint", "")), notes),
        index_strategy="" if environ.get("UV_INDEX_STRATEGY") or "index-strategy" in native_keys else "unsafe-best-match",
        native=(*native, *(text for text, _ in uv)),
        notes=tuple(notes),
    )


def tool_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of the server's environment that uv, and the package builds that it starts, may see."""
    return {k: v for k, v in environ.items() if _TOOL_VARIABLES.match(k) and not _UV_LEFT_OUT.match(k)}


def job_environment(
    environ: Mapping[str, str], prefix: str = sys.prefix, platform: str = sys.platform, system: Path = Path("/etc")
) -> dict[str, str]:
    """Variables with which pip and uv inside a job find packages where the server finds them, and ask no questions."""
    found = {k: v for k, v in environ.items() if _JOB_UV.match(k)}
    for name, value in _pip_values(environ, prefix, platform, system).items():
        if _JOB_PIP.match(name):
            found["PIP_" + name.upper().replace("-", "_")] = " ".join(value.split())
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_ROOT_USER_ACTION": "ignore", "PIP_USER": "0"}
    return found | quiet


def _pip_values(environ: Mapping[str, str], prefix: str, platform: str, system: Path) -> dict[str, str]:
    values: dict[str, str] = {}
    for path in _pip_files(environ, prefix, platform, system):
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, configparser.Error):
            continue  # pip would stop; for the server, an unreadable file of one user is none
        for section in ("global", "install"):
            if parser.has_section(section):
                values.update((k.replace("_", "-").lstrip("-"), v.strip()) for k, v in parser.items(section))
    for name, value in environ.items():
        if name.startswith("PIP_") and value:
            values[name[4:].lower().replace("_", "-")] = value
    return values


def _pip_files(environ: Mapping[str, str], prefix: str, platform: str, system: Path) -> list[Path]:
    chosen = environ.get("PIP_CONFIG_FILE", "")
    if chosen == "/dev/null":
        return []
    home = Path(environ.get("HOME", "/nonexistent"))
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    shared = [Path(d) / "pip/pip.conf" for d in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":") if d]
    user = [home / ".pip/pip.conf", config / "pip/pip.conf"]
    if platform == "darwin":
        shared = [Path("/Library/Application Support/pip/pip.conf")]
        support = home / "Library/Application Support/pip"
        user = [home / ".pip/pip.conf", (support if support.is_dir() else home / ".config/pip") / "pip.conf"]
    found = [*shared, system / "pip.conf", *user, Path(prefix) / "pip.conf", *([Path(chosen)] if chosen else [])]
    return [p for p in found if p.is_file()]


def _uv_files(environ: Mapping[str, str], system: Path) -> list[tuple[str, dict]]:
    """(text, document) of uv's own settings files of user and system."""
    home = Path(environ.get("HOME", "/nonexistent"))
    paths = [Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "uv/uv.toml"]
    paths += [Path(d) / "uv/uv.toml" for d in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":") if d] + [system / "uv/uv.toml"]
    if environ.get("UV_CONFIG_FILE"):
        paths = [Path(environ["UV_CONFIG_FILE"])]
    found = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
            found.append((text, tomllib.loads(text)))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            continue  # uv itself says what is wrong with it
    return found


def _existing(places: Iterable[str], notes: list[str]) -> tuple[str, ...]:
    found = []
    for place in dict.fromkeys(places):
        path = _local_path(place)
        if path is not None and not path.exists():
            notes.append(f"{place} does not exist and is not searched")
        else:
            found.append(place if path is None or place.startswith("file:") else str(path.absolute()))
    return tuple(found)


def _local_path(place: str) -> Path | None:
    if place.startswith("file:"):
        return Path(unquote(urlsplit(place).path))
    return None if re.match(r"^[a-zA-Z][\w+.-]*://|^[\w-]+=", place) else Path(place).expanduser()


def _content(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _split(value: str) -> list[str]:
    return [part for part in re.split(r"[\s,]+", value) if part]


def _unique(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *second]))


def _true(value: str) -> bool:
    return value.strip().lower() in ("1", "true", "yes", "on", "t", "y")
