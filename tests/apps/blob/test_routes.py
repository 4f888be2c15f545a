from types import SimpleNamespace

from lazward.apps.blob.routes import ACCOUNT, BATCHED, BLOBS, CONTAINER, DFS_TABLES, blob_routes
from lazward.apps.chain import Chain
from tests.live import ACCOUNT as NAME
from tests.live import ARM

SERVICES = SimpleNamespace(settings=SimpleNamespace(max_upload_bytes=7))


def test_routes_are_declared_with_how_they_are_guarded():
    routes = blob_routes(SERVICES)
    assert {route.surface.name for route in routes} == {"blob", "dfs"}
    assert all(route.access.kind == "handler" and route.max_body == 7 for route in routes)


def test_paths_are_told_apart_by_depth():
    chain = Chain(SERVICES, blob_routes(SERVICES), fallback=ARM)
    for path, pieces in ((f"/{NAME}.blob.core.windows.net", 1), (f"/{NAME}.blob.core.windows.net/", 1), (f"/{NAME}.dfs.core.windows.net/c", 2), (f"/{NAME}.blob.core.windows.net/c/b//d/", 3)):
        _, params = chain._route("GET", path)
        assert len(params) == pieces


def test_only_deletions_and_tiers_go_in_a_batch():
    assert set(BATCHED) == {("DELETE", ""), ("PUT", "comp=tier")}


def test_words_are_in_lower_case():
    for table in (ACCOUNT, CONTAINER, BLOBS, *DFS_TABLES):
        assert all(word == word.lower() for _, word in table)


async def test_an_operation_that_is_not_there_is_said_to_be_so(raw):
    answer = await raw("PATCH", "/cont/b")
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (405, "UnsupportedHttpVerb")
    answer = await raw("PUT", "/cont/b?comp=unheard")
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (400, "InvalidQueryParameterValue")


async def test_names_of_parameters_and_accounts_have_no_case(raw):
    await raw.store.put(NAME, "cont", "b", b"1")
    query = raw.signed("/cont", "rl")
    assert "<Name>b</Name>" in (await raw("GET", f"/cont?RESTYPE=Container&Comp=LIST&{query}", key=None)).text
    assert (await raw("GET", f"/cont/b?{query}", key=None, account=NAME.upper())).status_code == 200
