"""One MLflow call: whose, in which workspace, with which arguments (read by type, errors naming the argument)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from lazward.apps.chain import Context
from lazward.contract.ids import ResourceId
from lazward.contract.mlflow import invalid
from lazward.domain.tracking import names
from lazward.storage import experiments
from lazward.storage.db import Tx

P = ParamSpec("P")
T = TypeVar("T")

_STAGES = {1: ("active",), 2: ("deleted",), 3: ("active", "deleted"), "ACTIVE_ONLY": ("active",), "DELETED_ONLY": ("deleted",), "ALL": ("active", "deleted")}


class Call:
    """plain: the client is MLflow's own, which gets mlflow-artifacts: URIs; otherwise the azureml plugin, which gets azureml:// ones.
    args: the members of the body or query; for calls with Rpc.plain perhaps an instance of that."""

    __slots__ = ("args", "ctx", "key", "path", "plain", "workspace")

    def __init__(self, ctx: Context, workspace: ResourceId, plain: bool, args: Any, path: dict[str, str]):
        self.ctx = ctx
        self.workspace = workspace
        self.key = workspace.key
        self.plain = plain
        self.args = args
        self.path = path

    @property
    def now(self) -> float:
        return self.ctx.now

    @property
    def user(self) -> str:
        return self.ctx.caller.name or self.ctx.caller.id

    async def read(self, fn: Callable[Concatenate[Tx, str, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """fn(tx, workspace key, ...) in a read transaction. The default experiment is made when it turns out to be missing."""
        try:
            return await self.ctx.db.read(fn, self.key, *args, **kwargs)
        except experiments.DefaultMissing:
            await self.ctx.db.write(experiments.ensure_default, self.key, self.now)
            return await self.ctx.db.read(fn, self.key, *args, **kwargs)

    async def write(self, fn: Callable[Concatenate[Tx, str, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same in a write transaction."""
        return await self._written(self.ctx.db.write, fn, *args, **kwargs)

    async def write_small(self, fn: Callable[Concatenate[Tx, str, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same of a few statements by key (Database.write_small)."""
        return await self._written(self.ctx.db.write_small, fn, *args, **kwargs)

    async def _written(self, write: Callable[..., Awaitable[T]], fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        try:
            return await write(fn, self.key, *args, **kwargs)
        except experiments.DefaultMissing:
            await write(experiments.ensure_default, self.key, self.now)
            return await write(fn, self.key, *args, **kwargs)

    # ---- arguments ------------------------------------------------------------------------------------------------------

    def text(self, name: str, default: str = "") -> str:
        value = self.args.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise _wrong(name, value, "a string")
        return value

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise invalid(f"Missing value for required parameter '{name}'.", name)
        return value

    def run_id(self) -> str:
        return names.check_run_id(self.args.get("run_id") or self.args.get("run_uuid"))

    def integer(self, name: str, default: int | None = None) -> int | None:
        value = self.args.get(name)
        return default if value is None or value == "" else names.integer(value, name)

    def flag(self, name: str) -> bool:
        value = self.args.get(name)
        if value in (None, False, "false", "False", ""):
            return False
        if value in (True, "true", "True"):
            return True
        raise _wrong(name, value, "true or false")

    def items(self, name: str) -> list[Any]:
        value = self.args.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            if self.ctx.request.method == "GET":
                return [value]  # a list of one looks like a plain value in a query
            raise _wrong(name, value, "a list")
        return value

    def texts(self, name: str) -> list[str]:
        found = self.items(name)
        if not all(isinstance(item, str) for item in found):
            raise _wrong(name, found, "a list of strings")
        return found

    def pairs(self, name: str) -> list[tuple[str, str]]:
        return names.pairs(self.items(name), name)

    def limit(self, default: int, most: int, name: str = "max_results") -> int:
        value = self.integer(name, default)
        if value is None or not 1 <= value <= most:
            raise invalid(f"Invalid value {value} for parameter '{name}' supplied: it must be between 1 and {most}.", name)
        return value

    def stages(self, name: str) -> tuple[str, ...]:
        value = self.args.get(name)
        value = int(value) if isinstance(value, str) and value.isdigit() else value
        if value is None:
            return _STAGES[1]
        if not isinstance(value, (str, int)) or value not in _STAGES:
            raise _wrong(name, value, "ACTIVE_ONLY, DELETED_ONLY or ALL")
        return _STAGES[value]


def _wrong(name: str, value: Any, what: str) -> Exception:
    return invalid(f"Invalid value {str(value)[:60]!r} for parameter '{name}' supplied: it must be {what}.", name)
