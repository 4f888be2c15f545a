"""Principals, role assignments, custom roles and signing keys as held in memory: read again when another process changed them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lazward.domain import rbac
from lazward.domain.rbac import Assignment, Role
from lazward.domain.rbac_roles import BUILT_IN
from lazward.identity.tokens import SigningKeys
from lazward.orchestration import signing
from lazward.storage import access
from lazward.storage.access import Principal
from lazward.storage.db import Database, Tx
from lazward.storage.secrets import Vault

STALE_S = 0.9  # a change made by another process holds within a second
DECISIONS_MAX = 50_000

# What a run may never do, whatever its submitter may: rights that outlive the run.
NOT_FOR_RUNS = ("Microsoft.Authorization/*/write", "Microsoft.Authorization/*/delete", "Microsoft.Authorization/elevateAccess/action")


@dataclass
class State:
    """What the tables said at `version`. Never changed but for `decisions`, which remembers answers."""

    version: tuple[int, int]
    key_names: tuple[str, ...]
    keys: SigningKeys | None
    principals: dict[str, Principal]
    held: dict[str, tuple[Assignment, ...]]  # by principal
    roles: dict[str, Role]
    decisions: dict[tuple[str, str, bool, str, str, bool], bool] = field(default_factory=dict)

    def allowed(self, principal: str, action: str, scope: str, data: bool = False, *, bound: str = "", run: bool = False) -> bool:
        """Whether the principal's roles grant action at scope. bound: key of the resource that its token is limited to; run: whether
        it is the token of a run."""
        question = (principal, bound, run, action, scope, data)
        known = self.decisions.get(question)
        if known is None:
            known = self._decide(principal, action, scope, data, bound, run)
            if len(self.decisions) >= DECISIONS_MAX:
                self.decisions.clear()
            self.decisions[question] = known
        return known

    def _decide(self, principal: str, action: str, scope: str, data: bool, bound: str, run: bool) -> bool:
        found = self.principals.get(principal)
        if found is None or not found.enabled:  # also for who is not proven by a token: the maker of a signature, a job's submitter
            return False
        if bound and not rbac.within(scope, bound):
            return False
        if run and any(rbac.matches(pattern, action) for pattern in NOT_FOR_RUNS):
            return False
        return rbac.allowed(self.held.get(principal, ()), self.roles, action, scope, data)


class Directory:
    """clock: seconds that only go forward."""

    def __init__(self, db: Database, vault: Vault, clock: Callable[[], float]):
        self.db = db
        self.vault = vault
        self.clock = clock
        self.state: State | None = None
        self.read_at = float("-inf")
        self._changes = 0

    def known(self) -> State | None:
        """The state if it is fresh enough to decide by."""
        return self.state if self.clock() - self.read_at < STALE_S else None

    async def fresh(self) -> State:
        return self.known() or await self.read()

    async def read(self) -> State:
        """From the database, whatever the age of what is held."""
        return self._take(await self.db.read(self._read, self._changes))

    def read_now(self) -> State:
        """The same, on this thread: for callers that are not async."""
        return self._take(self.db.read_now(self._read, self._changes))

    def forget(self) -> None:
        """Call after a commit of this process that changed something: what was read before it counts no more."""
        self._changes += 1
        self.read_at = float("-inf")

    def _read(self, tx: Tx, changes: int) -> tuple[State, float, int]:
        began = self.clock()
        held, version, key_names = self.state, access.version(tx), signing.names(tx, self.vault)
        same_keys = held is not None and held.key_names == key_names
        keys = held.keys if same_keys and held else signing.load(tx, self.vault, key_names)
        if held is not None and held.version == version:
            state = held if same_keys else State(version, key_names, keys, held.principals, held.held, held.roles, held.decisions)
            return state, began, changes
        given: dict[str, list[Assignment]] = {}
        for assignment in access.assignments(tx):
            given.setdefault(assignment.principal, []).append(assignment)
        roles = BUILT_IN | {role.id: role for role, _ in access.custom_roles(tx)}
        people = {p.id: p for p in access.principals(tx)}
        return State(version, key_names, keys, people, {who: tuple(what) for who, what in given.items()}, roles), began, changes

    def _take(self, result: tuple[State, float, int]) -> State:
        state, began, changes = result
        # One that was overtaken by a commit of ours, or by a later read, is good for its caller only.
        if changes == self._changes and began >= self.read_at:
            self.state, self.read_at = state, began
        return state
