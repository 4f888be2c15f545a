"""Every setting of the server, with its default, unit and meaning; and how several sources become one `Settings`.

A source is a `Source(origin, values)`: flags, environment, file. The first source that names a setting wins, the default is last.
Reading the sources is the command line's business (lazward/cli/settings.py); this module only decides.
"""

from __future__ import annotations

import ipaddress
import re
import typing
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlsplit

import msgspec

from lazward.domain.layout import Layout

KIB, MIB, GIB = 1024, 1024**2, 1024**3
HOUR, DAY = 3600, 86400


def _doc(text: str, unit: str = "", **limits: Any) -> msgspec.Meta:
    return msgspec.Meta(description=text, extra={"unit": unit}, **limits)


Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Seconds = Annotated[int, msgspec.Meta(ge=60)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings, complete: after `merge` no value is left to be filled in by a reader, but a port of 0 (any free one)."""

    # Where things are
    data_dir: Annotated[str, _doc(
        "Folder of all local state. It is created with mode 0700. The default is `$XDG_DATA_HOME/lazward` where XDG_DATA_HOME is set, "
        "else `~/.lazward`. It cannot be set in the data dir's own settings.toml.")] = ""
    database_url: Annotated[str, _doc(
        "`sqlite:////absolute/path.db` or `postgresql://user:password@host/name`. The default is `lazward.db` in the data dir.")] = ""
    storage_url: Annotated[str, _doc(
        "Where the bytes of blobs lie: an absolute folder, `file:///folder`, `s3://bucket/prefix`, `az://container/prefix` or `gs://bucket/prefix`. "
        "The default is `blobs` in the data dir.")] = ""

    # Addresses
    host: Annotated[str, _doc(
        "Address to listen on, an IP address or `localhost`. One that other machines can reach needs `public_host`.")] = "127.0.0.1"
    port: Annotated[Port, _doc(
        "Port of the control plane; 0 takes any free one. If it is not set and 8443 is busy at the first start, the next free one is taken; "
        "the port of the last start is kept for the next.", "TCP port")] = 8443
    gateway_port: Annotated[Port, _doc("Port of the inference gateway; chosen and kept as `port` is.", "TCP port")] = 8444
    public_host: Annotated[str, _doc(
        "Name (or IP address) that clients use in URLs; the server certificate is made for it, and for localhost.")] = "localhost"
    location: Annotated[str, _doc("Region name that resources show.", pattern="^[a-z0-9]{1,40}$")] = "local"

    # Logs
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _doc("Least severe message that is logged.")] = "info"
    log_max_bytes: Annotated[int, _doc("Size at which a log file in `logs/` is rotated.", "bytes", ge=64 * KIB)] = 10 * MIB
    log_keep: Annotated[int, _doc("Rotated files kept of each log.", "files", ge=0, le=100)] = 5

    # Limits of requests
    max_body_bytes: Annotated[int, _doc("Largest body of an API request (not of a blob); more is answered 413.", "bytes", ge=64 * KIB)] = 16 * MIB
    max_upload_bytes: Annotated[int, _doc(
        "Largest body of one upload request to blob storage; larger blobs come in blocks.", "bytes", ge=MIB)] = 5000 * MIB

    # Requests that the server makes
    outbound_allow_http: Annotated[bool, _doc(
        "Whether an address that a user names (of a webhook, of a job's input on the web) may be plain http; else it is https.")] = False
    outbound_allow_private: Annotated[bool, _doc(
        "Whether an address that a user names may be this machine, its network or a service of its cloud; else only public addresses are called.")] = False

    # Environments of jobs and deployments
    allow_python_download: Annotated[bool, _doc(
        "Whether a Python version that an environment asks for, and this machine lacks, may be downloaded by uv.")] = False
    environments_strict: Annotated[bool, _doc(
        "Whether an environment fails whose versions cannot be had for the Python of this machine. Else, where the Python asked for is not here, "
        "the nearest versions are taken, and the job's log and properties say which.")] = False
    torch_backend: Annotated[Literal["auto", "cpu", "cuda"], _doc(
        "Which PyTorch builds environments get: `auto` takes CPU builds where the machine has no GPU, `cpu` and `cuda` decide it.")] = "auto"

    environments_max_bytes: Annotated[int, _doc(
        "Size of the cache of built environments; beyond it those are removed that nothing uses and that were used longest ago. 0 means no limit.",
        "bytes", ge=0)] = 0
    environments_max_days: Annotated[int, _doc(
        "Days after which a built environment is removed if nothing uses it and nothing has since; 0 means never.", "days", ge=0)] = 90

    # Lifetimes of credentials
    access_token_lifetime: Annotated[Seconds, _doc("Lifetime of an access token.", "seconds", le=DAY)] = HOUR
    refresh_token_lifetime: Annotated[Seconds, _doc("Lifetime of a refresh token since its last use.", "seconds", le=365 * DAY)] = 90 * DAY
    device_code_lifetime: Annotated[Seconds, _doc("Time a person has to confirm a device code.", "seconds", le=HOUR)] = 900
    endpoint_token_lifetime: Annotated[Seconds, _doc("Lifetime of a scoring token of an online endpoint.", "seconds", le=7 * DAY)] = 12 * HOUR
    signing_key_lifetime: Annotated[int, _doc("Age at which the key that signs tokens is replaced.", "seconds", ge=DAY)] = 90 * DAY

    # Jobs
    max_job_cores: Annotated[int, _doc("CPU cores that jobs may take together; 0 means all of the machine.", "cores", ge=0)] = 0
    max_job_memory_bytes: Annotated[int, _doc("Memory that jobs may ask for together; 0 means all of the machine.", "bytes", ge=0)] = 0
    max_workspace_jobs: Annotated[int, _doc("Command jobs (steps of pipelines and trials too) that one workspace may run at once; 0 means no limit.", "jobs", ge=0)] = 0
    max_workspace_cores: Annotated[int, _doc(
        "Cores that the jobs of one workspace may hold at once; a job that asks for more counts as all of them. 0 means no limit.", "cores", ge=0)] = 0
    max_user_jobs: Annotated[int, _doc("Command jobs that one user may run at once in a workspace; 0 means no limit.", "jobs", ge=0)] = 0
    max_user_cores: Annotated[int, _doc("Cores that one user's jobs may hold at once in a workspace; 0 means no limit.", "cores", ge=0)] = 0
    default_job_timeout: Annotated[int, _doc("Wall-clock limit of a job that sets none; 0 means no limit.", "seconds", ge=0)] = 0
    max_job_processes: Annotated[int, _doc(
        "Processes that a job may have at once, and eight times as many threads; more, as a fork bomb has, end it as Failed. Never more than half of "
        "what the machine or its user can have. 0 means no limit.", "processes", ge=0)] = 4096
    max_job_log_bytes: Annotated[int, _doc(
        "Size of a job's logs (what its processes print) together; more end it as Failed. 0 means no limit.", "bytes", ge=0)] = GIB
    max_job_disk_bytes: Annotated[int, _doc(
        "What a job's working folder may take of the disk: its code, outputs, temporary files, installed packages and logs, without inputs that lie in the "
        "cache; more end it as Failed. 0 means no limit but `min_free_disk_bytes`.", "bytes", ge=0)] = 0
    min_free_disk_bytes: Annotated[int, _doc(
        "What jobs have to leave free on the disk of the data dir. When there is less, the job that holds most of it (and at least 64 MiB) ends as Failed; the "
        "others run on. 0 means that jobs may fill the disk.", "bytes", ge=0)] = GIB
    system_metrics_interval_s: Annotated[float, _doc(
        "How often each job's processors, memory, disk, network and GPUs are measured and logged to its run as `system/...`; a job that runs for more than a "
        "day is measured less often. 0 means never.", "seconds", ge=0)] = 10.0
    schedule_catch_up: Annotated[int, _doc(
        "When the server was not running at a schedule's time, the last run that was missed is made up for if it is no longer ago than this.", "seconds", ge=0)] = DAY
    input_cache_bytes: Annotated[int, _doc(
        "Size of the cache of files that jobs and deployments read; beyond it those used longest ago are removed.", "bytes", ge=0)] = 50 * GIB

    trash_days: Annotated[float, _doc(
        "Experiments, runs and logged models that were deleted can be restored for so long; then they go for good, with their files. 0 means that they stay until somebody empties the bin (`lazward trash`).", "days", ge=0)] = 30.0

    # Pipelines
    reuse_max_age_days: Annotated[float, _doc("Steps of pipelines take over the results of an equal step that completed within this time; 0 means however long ago.", "days", ge=0)] = 30.0
    reuse_max_bytes: Annotated[int, _doc(
        "Size, in each workspace, of what steps of pipelines wrote into folders of their own and nothing but reuse needs any more; beyond it "
        "the outputs of those steps are removed that were used longest ago. 0 means no limit.", "bytes", ge=0)] = 0

    # Durability and stopping
    sqlite_synchronous: Annotated[Literal["normal", "full"], _doc(
        "`normal`: nothing is lost when processes are killed, the last moments may be lost when the power fails; `full`: not even then, writes are slower. "
        "Counts for SQLite and for blobs in a folder; PostgreSQL and buckets have their own.")] = "normal"
    stop_grace: Annotated[int, _doc(
        "Time that a part has to end by itself when the server stops, before it is killed.", "seconds", ge=0, le=600)] = 10

    @property
    def layout(self) -> Layout:
        return Layout(self.data_dir)

    @property
    def base_url(self) -> str:
        """"https://localhost:8443", no slash at the end."""
        return f"https://{url_host(self.public_host)}:{self.port}"

    @property
    def gateway_url(self) -> str:
        return f"https://{url_host(self.public_host)}:{self.gateway_port}"


class Source(msgspec.Struct, frozen=True):
    """Values of one origin. `origin` is shown in errors ("flags", "environment", a file's path); `text` says that the values are
    strings which stand for other types (environment, `--set`); `shown` words a name as the origin spells it (LAZWARD_PORT)."""

    origin: str
    values: Mapping[str, Any]
    text: bool = False
    spelled: Literal["flag", "variable", "key"] = "key"

    def shown(self, name: str) -> str:
        if self.spelled == "variable":
            return variable(name)
        return "--" + name.replace("_", "-") if self.spelled == "flag" else name


class SettingsError(Exception):
    """A setting that cannot be used. `name` is the setting, `origin` where it was set, `reason` one sentence."""

    def __init__(self, name: str, origin: str, reason: str):
        super().__init__(f"{name} ({origin}): {reason}")
        self.name = name
        self.origin = origin
        self.reason = reason


class Merged(msgspec.Struct, frozen=True):
    """The result: settings, and for each name the origin of its value ("default" where nobody set it)."""

    settings: Settings
    origins: Mapping[str, str]


class Description(msgspec.Struct, frozen=True):
    """One setting for people."""

    name: str
    default: Any
    unit: str
    text: str


_TYPES: dict[str, Any] = typing.get_type_hints(Settings, include_extras=True)
NAMES: tuple[str, ...] = Settings.__struct_fields__

PREFIX = "LAZWARD_"
# Variables of ours that are no settings: written by `lazward env`, read by clients, or handed from us to our own processes and jobs.
NOT_SETTINGS = frozenset({
    "LAZWARD_SUBSCRIPTION_ID", "LAZWARD_RESOURCE_GROUP", "LAZWARD_WORKSPACE", "LAZWARD_CONFIG", "LAZWARD_OFFLINE", "LAZWARD_HEARTBEAT",
    "LAZWARD_RESOLVED_SETTINGS", "LAZWARD_LISTEN_FD", "LAZWARD_LAUNCH", "LAZWARD_PARALLEL", "LAZWARD_PARALLEL_PLAN",
})
NOT_SETTINGS_PREFIXES = ("LAZWARD_JOB_", "LAZWARD_SERVE_", "LAZWARD_SPOOL", "LAZWARD_TEST_")


def merge(sources: Sequence[Source]) -> Merged:
    """Makes one Settings of the sources, strongest first. Raises SettingsError for an unknown name or a value of wrong type or range,
    in whichever source it is, also where a stronger one hides it: a wrong file does not become right by accident."""
    chosen: dict[str, Any] = {}
    origins = dict.fromkeys(NAMES, "default")
    spelled: dict[str, str] = {}
    for source in sources:
        for name, raw in source.values.items():
            value = _convert(source, name, raw)
            if name not in chosen:
                chosen[name] = value
                origins[name] = source.origin
                spelled[name] = source.shown(name)
    try:
        # Equal ports are wrong only where both were asked for; else the one that was not is chosen at the start.
        if "port" in chosen and chosen["port"] == chosen.get("gateway_port") != 0:
            raise SettingsError("gateway_port", "", f"is {chosen['port']}, as port is; they must differ.")
        return Merged(_complete(Settings(**chosen)), origins)
    except SettingsError as error:
        name = spelled.get(error.name, error.name)
        raise SettingsError(name, origins[error.name], error.reason) from None


def decode(data: bytes) -> Settings:
    """Reads what `encode` wrote (the file named by LAZWARD_RESOLVED_SETTINGS)."""
    return msgspec.json.decode(data, type=Settings)


def encode(settings: Settings) -> bytes:
    return msgspec.json.encode(settings)


def variable(name: str) -> str:
    return PREFIX + name.upper()


def from_environment(environ: Mapping[str, str]) -> Source:
    """The LAZWARD_* variables; an empty one counts as not set. Names are checked by `merge`."""
    values = {
        key[len(PREFIX):].lower(): value
        for key, value in environ.items()
        if key.startswith(PREFIX) and value and key not in NOT_SETTINGS and not key.startswith(NOT_SETTINGS_PREFIXES)
    }
    return Source("environment", values, text=True, spelled="variable")


def describe() -> list[Description]:
    """All settings in their order of declaration; defaults that depend on the data dir are shown as ""."""
    defaults = Settings()
    found = []
    for name in NAMES:
        metas = [m for m in _TYPES[name].__metadata__ if isinstance(m, msgspec.Meta)]
        meta = next(m for m in reversed(metas) if m.description)
        found.append(Description(name, getattr(defaults, name), (meta.extra or {})["unit"], meta.description or ""))
    return found


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def without_password(url: str) -> str:
    """The URL with its password replaced by ***, for people and logs."""
    url = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&](?:password|sslpassword)=)[^&]*", r"\1***", url)


def folder_of(storage_url: str) -> str | None:
    """The local folder of a storage URL, None if it is a bucket."""
    parts = urlsplit(storage_url)
    return unquote(parts.path) if parts.scheme == "file" else None


def sqlite_path(database_url: str) -> str | None:
    """The file of an SQLite database, None for PostgreSQL."""
    return database_url.removeprefix("sqlite:///") if database_url.startswith("sqlite:///") else None


def _convert(source: Source, name: str, raw: Any) -> Any:
    if name not in _TYPES:
        near = get_close_matches(name, NAMES, 1)
        hint = f" Did you mean {source.shown(near[0])}?" if near else ""
        raise SettingsError(source.shown(name), source.origin, f"there is no such setting.{hint}")
    try:
        return msgspec.convert(raw, _TYPES[name], strict=not source.text)
    except msgspec.ValidationError as error:
        raise SettingsError(source.shown(name), source.origin, f"{_expected(name, error)}, got {_short(raw)}.") from None


def _expected(name: str, error: msgspec.ValidationError) -> str:
    kind = typing.get_args(_TYPES[name])[0]
    if typing.get_origin(kind) is Literal:
        return "expected one of " + ", ".join(typing.get_args(kind))
    if kind is bool:
        return "expected true or false"
    return re.sub(r"^Expected `(\w+)`", r"expected \1", str(error).split(", got")[0])


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _complete(s: Settings) -> Settings:
    if not s.data_dir.startswith("/"):
        raise SettingsError("data_dir", "", "is not an absolute path.")
    if re.search(r"[\x00-\x1f\x7f?#%]", s.data_dir):
        # The path becomes part of database and storage URLs, where these mean something else.
        raise SettingsError("data_dir", "", "contains a control character or one of ? # %.")
    layout = Layout(s.data_dir)
    s = msgspec.structs.replace(
        s,
        host=_host(s.host),
        public_host=_public_host(s.public_host),
        database_url=_database_url(s.database_url or f"sqlite:///{layout.database}"),
        storage_url=_storage_url(s.storage_url or str(layout.blobs)),
    )
    if not is_loopback(s.host) and (is_loopback(s.public_host)):
        raise SettingsError(
            "host", "",
            f"{s.host} can be reached from other machines. Set public_host to the name that they use "
            "(--public-host NAME, LAZWARD_PUBLIC_HOST or public_host in settings.toml); the certificate is made for it.",
        )
    return s


def _host(text: str) -> str:
    if text == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise SettingsError("host", "", f"{_short(text)} is neither an IP address nor localhost.") from None


_HOST_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


def _public_host(text: str) -> str:
    name = text.strip("[]").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        if not _HOST_NAME.fullmatch(name):
            raise SettingsError("public_host", "", f"{_short(text)} is no host name (no scheme, port or path belongs here).") from None
        return name
    if address.is_unspecified:
        raise SettingsError("public_host", "", f"{address} is no address that clients could use.")
    return str(address)


def _database_url(url: str) -> str:
    for scheme in ("postgresql://", "postgres://", "postgresql+psycopg://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    path = sqlite_path(url)
    if path is None:
        raise SettingsError("database_url", "", "must start with sqlite:/// or postgresql://.")
    if not path.startswith("/") or path.endswith("/") or re.search(r"[\x00-\x1f?#]", path):
        raise SettingsError("database_url", "", "must name a file by its absolute path, as in sqlite:////var/lib/lazward/lazward.db.")
    return url


def _storage_url(url: str) -> str:
    if url.startswith("/"):
        url = "file://" + quote(url)
    parts = urlsplit(url)
    if parts.scheme not in ("file", "s3", "az", "gs"):
        raise SettingsError("storage_url", "", "must be an absolute folder or start with file://, s3://, az:// or gs://.")
    if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
        raise SettingsError("storage_url", "", "must name a folder by its absolute path, as in file:///var/lib/lazward/blobs.")
    if parts.scheme != "file" and not parts.hostname:
        raise SettingsError("storage_url", "", f"names no bucket or container, as in {parts.scheme}://NAME/prefix.")
    if parts.query or parts.fragment or parts.username:
        raise SettingsError("storage_url", "", "must hold neither a query nor credentials; the store's own environment variables hold them.")
    return url.rstrip("/")
