from lazward.storage import accounts
from tests.live import ACCOUNT, WORKSPACE, add_workspace


def test_the_workspace_of_an_account(db):
    add_workspace(db)
    assert db.read_now(accounts.scope_of, ACCOUNT) == WORKSPACE
    assert db.read_now(accounts.scope_of, "lzother") is None
