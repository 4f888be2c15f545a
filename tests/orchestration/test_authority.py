from __future__ import annotations

import pytest
import sqlalchemy as sa

from lazward.contract.caller import SYSTEM, Caller
from lazward.contract.errors import ArmError
from lazward.domain.rbac_roles import BLOB_DATA_READER, CONTRIBUTOR, OWNER, READER
from lazward.identity import tokens
from lazward.orchestration import authority as module
from lazward.orchestration.authority import Authority, spellings
from lazward.storage import access
from lazward.storage.db import Database
from lazward.storage.tables import task
from tests.apps.identity_app import AT_GROUP, AT_SUB, AT_WS, MASTER_KEY, TENANT, World
from tests.conftest import Clock

JOB_READ = "Microsoft.MachineLearningServices/workspaces/jobs/read"
WS = AT_WS.lower()


@pytest.fixture
def world(db: Database, clock: Clock) -> World:
    return World(db, clock, clock)


def bearer(token: str) -> str:
    return f"Bearer {token}"


async def refused(authority: Authority, token: str) -> ArmError:
    with pytest.raises(ArmError) as caught:
        await authority.authenticate(bearer(token))
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"].startswith(f'Bearer authorization_uri="https://localhost:8443/{TENANT}"')
    return caught.value


class TestAuthenticate:
    async def test_a_token_of_ours(self, world: World):
        caller = await world.authority.authenticate(bearer(world.token(world.owner)))
        assert (caller.id, caller.name, caller.tenant, caller.app_id) == (world.owner.id, "owner", TENANT, world.owner.app_id)

    @pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer abc", "Bearer a.b.c", "Bearer ü", "nonsense"])
    async def test_none_or_nonsense(self, world: World, header: str | None):
        with pytest.raises(ArmError) as caught:
            await world.authority.authenticate(header)
        assert caught.value.status == 401 and "WWW-Authenticate" in caught.value.headers

    async def test_an_audience_that_is_not_ours(self, world: World):
        assert (await refused(world.authority, world.token(world.owner, "https://other.example"))).code == "InvalidAuthenticationTokenAudience"

    @pytest.mark.parametrize("audience", ["https://localhost:8443", "https://127.0.0.1:8443/", "https://ml.azure.com", "https://storage.azure.com", "https://ml.azure.lazward.local"])
    async def test_audiences_that_clients_ask_for(self, world: World, audience: str):
        assert (await world.authority.authenticate(bearer(world.token(world.owner, audience)))).audience == audience

    async def test_ends_with_its_time_though_it_was_taken_before(self, world: World, clock: Clock):
        token = world.token(world.owner)
        await world.authority.authenticate(bearer(token))
        clock.forward(3600 + 59)
        await world.authority.authenticate(bearer(token))
        clock.forward(2)
        assert (await refused(world.authority, token)).code == "ExpiredAuthenticationToken"

    async def test_a_disabled_principal_is_refused_within_a_second_by_every_process(self, world: World, clock: Clock):
        other, token = world.another_process(clock), world.token(someone := world.principal("someone"))
        for authority in (world.authority, other):
            await authority.authenticate(bearer(token))
        world.db.write_now(access.set_enabled, someone.id, False, clock())
        clock.forward(1)
        for authority in (world.authority, other):
            await refused(authority, token)

    async def test_a_principal_made_a_moment_ago_by_another_process(self, world: World, clock: Clock):
        other = world.another_process(clock)
        await other.authenticate(bearer(world.token(world.owner)))
        new = world.principal("new")
        assert (await other.authenticate(bearer(world.token(new)))).id == new.id

    async def test_one_that_never_was(self, world: World):
        await refused(world.authority, world.authority.token_for(Caller(id="ghost", name="ghost", tenant=TENANT), "https://localhost:8443"))

    async def test_nobody_becomes_the_system_by_a_token(self, world: World):
        await refused(world.authority, world.authority.token_for(SYSTEM, "https://localhost:8443"))

    async def test_the_header_of_a_401_cannot_be_split(self, world: World):
        for audience in ('x"\r\nSet-Cookie: a=b', "ü"):
            error = await refused(world.authority, world.token(world.owner, audience))
            assert error.headers["WWW-Authenticate"].isprintable() and error.headers["WWW-Authenticate"].isascii()


class TestKeys:
    async def test_a_key_made_by_another_process_is_found_at_once(self, world: World, clock: Clock):
        other = world.another_process(clock)
        await other.authenticate(bearer(world.token(world.owner)))
        clock.forward(module.REREAD_KEYS_S)
        old = world.token(world.owner)
        world.db.write_now(world.authority.rotate_key, clock())
        new = world.token(world.owner)
        assert tokens.verify(world.authority.signing_keys, new, issuers=world.authority.issuers, now=clock())
        for token in (old, new):
            await other.authenticate(bearer(token))

    async def test_after_a_leak_no_token_of_the_old_key_is_taken(self, world: World, clock: Clock):
        other, token = world.another_process(clock), world.token(world.owner)
        for authority in (world.authority, other):
            await authority.authenticate(bearer(token))
        world.db.write_now(world.authority.rotate_key, clock(), revoke_old=True)
        await refused(world.authority, token)
        clock.forward(1)
        await refused(other, token)
        await other.authenticate(bearer(world.token(world.owner)))

    async def test_unknown_keys_do_not_make_every_request_read_the_database(self, world: World, monkeypatch: pytest.MonkeyPatch):
        await world.authority.authenticate(bearer(world.token(world.owner)))
        foreign = tokens.issue(tokens.SigningKeys([tokens.new_key()]), world.authority.caller_of(world.owner), audience="https://localhost:8443", issuer=world.authority.issuer, now=world.now(), lifetime=60)
        reads: list[int] = []
        real = world.authority.directory.read

        async def counted():
            reads.append(1)
            return await real()

        monkeypatch.setattr(world.authority.directory, "read", counted)
        for _ in range(20):
            await refused(world.authority, foreign)
        assert len(reads) <= 1

    async def test_upkeep_replaces_an_old_key(self, world: World, clock: Clock):
        before = world.authority.signing_keys.newest.kid
        await world.authority.keep_keys()
        assert world.authority.signing_keys.newest.kid == before
        clock.forward(91 * 86400)
        await world.authority.keep_keys()
        await world.authority.directory.fresh()
        keys = world.authority.signing_keys
        assert keys.newest.kid != before and before in keys.by_id


class TestAllowed:
    async def test_inherits_downwards_only(self, world: World):
        reader = world.authority.caller_of(world.principal("reader", READER, AT_GROUP))
        for scope, may in ((AT_GROUP, True), (AT_WS + "/jobs/j", True), (AT_WS.upper(), True), (AT_SUB, False), ("/", False), (AT_GROUP + "2", False), (AT_SUB + "/resourceGroups/other", False)):
            assert await world.authority.allowed(reader, JOB_READ, scope) is may, scope
        assert not await world.authority.allowed(reader, JOB_READ.replace("read", "write"), AT_WS)

    async def test_data_actions_are_apart(self, world: World):
        blob = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"
        owner, reader = (world.authority.caller_of(p) for p in (world.owner, world.principal("r", BLOB_DATA_READER, AT_WS)))
        assert not await world.authority.allowed(owner, blob, AT_WS, data=True)
        assert await world.authority.allowed(reader, blob, AT_WS, data=True)
        assert not await world.authority.allowed(reader, blob, AT_WS)

    async def test_the_system_may_and_who_says_to_be_it_may_not(self, world: World):
        assert await world.authority.allowed(SYSTEM, "x/write", "/")
        assert not await world.authority.allowed(Caller(id=SYSTEM.id, name=SYSTEM.name, kind=SYSTEM.kind), "x/write", "/")

    async def test_a_grant_holds_at_once_here_and_within_a_second_elsewhere(self, world: World, clock: Clock):
        other, someone = world.another_process(clock), world.principal("someone")
        caller = world.authority.caller_of(someone)
        assert not await other.allowed(caller, JOB_READ, AT_WS) and not await world.authority.allowed(caller, JOB_READ, AT_WS)

        def give(tx):
            access.assign(tx, AT_WS, someone.id, READER, clock())
            world.authority.changed(tx)

        world.db.write_now(give)
        assert await world.authority.allowed(caller, JOB_READ, AT_WS)
        clock.forward(1)
        assert await other.allowed(caller, JOB_READ, AT_WS)

    async def test_the_gateway_is_told(self, world: World):
        world.db.write_now(lambda tx: tx.execute(sa.delete(task)))
        world.principal("someone", READER, AT_WS)
        assert world.db.read_now(lambda tx: tx.execute(sa.select(task.c.kind, task.c.subject)).all()) == [("gateway.sync", "gateway")]


class TestLimitsOfJobTokens:
    """S5, S14: what a job carries reaches its workspace, while it runs, and gives no rights that outlive it."""

    def caller(self, world: World) -> Caller:
        return Caller(id=world.owner.id, name="owner", kind="ManagedIdentity", tenant=TENANT, bound_to=WS, run="j1")

    @pytest.mark.parametrize(("scope", "may"), [
        (AT_WS, True), (AT_WS + "/jobs/j1", True), (AT_WS.upper(), True), (AT_GROUP, False), (AT_SUB, False), ("/", False), ("", False), (AT_WS + "2", False), (AT_WS + "2/jobs/j1", False),
        (AT_WS[:-1] + "other/jobs/j1", False),
    ])
    async def test_s5_reach_their_workspace_whatever_the_roles(self, world: World, scope: str, may: bool):
        assert await world.authority.allowed(self.caller(world), JOB_READ, scope) is may

    @pytest.mark.parametrize("action", ["Microsoft.Authorization/roleAssignments/write", "Microsoft.Authorization/roleAssignments/delete", "Microsoft.Authorization/roleDefinitions/write"])
    async def test_s14_give_no_rights(self, world: World, action: str):
        assert await world.authority.allowed(world.authority.caller_of(world.owner), action, AT_WS)
        assert not await world.authority.allowed(self.caller(world), action, AT_WS)

    async def test_never_more_than_the_submitter(self, world: World):
        reader = world.principal("reader", READER, AT_WS)
        caller = Caller(id=reader.id, name="reader", bound_to=WS, run="j1")
        assert await world.authority.allowed(caller, JOB_READ, AT_WS) and not await world.authority.allowed(caller, JOB_READ.replace("read", "write"), AT_WS)

    async def test_end_with_the_run(self, world: World, clock: Clock):
        world.set_job("j1", "Running")
        token, secret = world.authority.for_job(world.owner.id, AT_WS, "j1")
        caller = await world.authority.authenticate(bearer(token))
        assert (caller.id, caller.bound_to, caller.run, caller.kind) == (world.owner.id, WS, "j1", "ManagedIdentity")
        assert (await world.authority.by_identity_secret(secret)) is not None
        world.set_job("j1", "Completed")
        clock.forward(1)
        assert (await refused(world.authority, token)).code == "ExpiredAuthenticationToken"
        assert await world.authority.by_identity_secret(secret) is None
        assert await world.another_process(clock).by_identity_secret(secret) is None

    async def test_live_as_long_as_a_long_job(self, world: World, clock: Clock):
        world.set_job("j1", "Running")
        token, _ = world.authority.for_job(world.owner.id, AT_WS, "j1")
        clock.forward(29 * 86400)
        await world.authority.keep_keys()
        assert (await world.authority.authenticate(bearer(token))).run == "j1"

    async def test_of_a_job_that_is_gone(self, world: World):
        token, secret = world.authority.for_job(world.owner.id, AT_WS, "never")
        await refused(world.authority, token)
        assert await world.authority.by_identity_secret(secret) is None

    async def test_end_with_their_submitter(self, world: World, clock: Clock):
        someone = world.principal("someone")
        world.set_job("j1", "Running")
        token, secret = world.authority.for_job(someone.id, AT_WS, "j1")
        world.db.write_now(access.set_enabled, someone.id, False, clock())
        clock.forward(1)
        await refused(world.authority, token)
        assert await world.authority.by_identity_secret(secret) is None
        for who in (someone.id, "ghost", SYSTEM.id):
            with pytest.raises(ArmError) as caught:
                world.authority.for_job(who, AT_WS, "j1")
            assert caught.value.code == "SubmitterNotFound"

    async def test_made_before_anything_else_was_asked(self, world: World, clock: Clock):
        """The worker's first act may be to start a job."""
        token, _ = world.another_process(clock).for_job(world.owner.id, AT_WS, "j1")
        world.set_job("j1", "Running")
        assert (await world.authority.authenticate(bearer(token))).name == "owner"


class TestIdentitySecret:
    async def test_of_a_principal(self, world: World, clock: Clock):
        someone = world.principal("someone")
        caller = await world.authority.by_identity_secret(world.secrets[someone.id])
        assert caller == world.authority.caller_of(someone)
        world.db.write_now(access.set_enabled, someone.id, False, clock())
        assert await world.authority.by_identity_secret(world.secrets[someone.id]) is None

    @pytest.mark.parametrize("secret", ["", "x", "lzs_", "lzjob.", "lzjob.00.00", "ü", "lzjob.ü.ü"])
    async def test_nonsense(self, world: World, secret: str):
        assert await world.authority.by_identity_secret(secret) is None

    async def test_of_another_installation(self, world: World):
        world.set_job("j1", "Running")
        assert await world.authority.by_identity_secret(tokens.job_secret(b"x" * 32, WS, "j1", world.owner.id)) is None
        assert await world.authority.by_identity_secret(tokens.job_secret(MASTER_KEY, WS, "j1", world.owner.id)) is not None


class TestListsAndVisibility:
    async def test_has_role_below(self, world: World):
        inside, nobody = (world.authority.caller_of(p) for p in (world.principal("i", READER, AT_WS), world.principal("n")))
        assert await world.authority.has_role_below(inside, AT_SUB) and await world.authority.has_role_below(inside, AT_WS + "/jobs/j")
        assert not await world.authority.has_role_below(inside, AT_SUB + "/resourceGroups/other")
        assert not await world.authority.has_role_below(nobody, "/")
        bound = Caller(id=inside.id, name="i", bound_to=WS)
        assert await world.authority.has_role_below(bound, AT_SUB)
        assert not await world.authority.has_role_below(bound, AT_SUB + "/resourceGroups/other")

    async def test_permissions_are_the_callers_own(self, world: World):
        someone = world.principal("someone", READER, AT_SUB)
        world.db.write_now(access.assign, AT_WS, someone.id, CONTRIBUTOR, world.now())
        world.authority.refresh_now()
        caller = world.authority.caller_of(someone)
        assert {r.name for r in await world.authority.permissions(caller, AT_WS)} == {"Reader", "Contributor"}
        assert [r.name for r in await world.authority.permissions(caller, AT_GROUP)] == ["Reader"]
        assert await world.authority.permissions(Caller(id=caller.id, name="x", bound_to=WS), AT_GROUP) == []

    async def test_principals_allowed(self, world: World, clock: Clock):
        score = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/score/action"
        one, two = world.principal("one", OWNER, AT_WS), world.principal("two", OWNER, AT_WS)
        world.principal("reader", READER, AT_WS)
        world.db.write_now(access.set_enabled, two.id, False, clock())
        world.authority.refresh_now()
        assert set(world.authority.principals_allowed(score, AT_WS + "/onlineEndpoints/e")) == {world.owner.id, one.id}


def test_spellings():
    assert spellings("https://ml.corp.example:8443") == ("https://ml.corp.example:8443", "https://localhost:8443", "https://127.0.0.1:8443", "https://[::1]:8443")
    assert spellings("https://localhost:1")[0] == "https://localhost:1" and len(spellings("https://localhost:1")) == 3
