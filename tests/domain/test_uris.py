import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.domain.uris import DataUri, parse_uri

SUB = "azureml://subscriptions/s/resourcegroups/g/workspaces/w"
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
PIECES = st.lists(st.text(st.characters(blacklist_categories=("Cc", "Cs"), blacklist_characters="/\\?#%"), min_size=1).filter(lambda p: p not in (".", "..") and p == p.strip()), min_size=1, max_size=4)


class TestParseUri:
    @pytest.mark.parametrize(
        ("uri", "expected"),
        [
            ("azureml://datastores/ds/paths/a/b.csv", DataUri("datastore", name="ds", path="a/b.csv")),
            (f"{SUB}/datastores/ds/paths/a/b/", DataUri("datastore", name="ds", path="a/b/", workspace="w", group="g", subscription="s")),
            ("azureml://datastores/workspaceartifactstore/ExperimentRun/dcid.j", DataUri("datastore", name="workspaceartifactstore", path="ExperimentRun/dcid.j")),
            ("azureml:iris:3", DataUri("asset", family="data", name="iris", version="3")),
            ("azureml:iris@latest", DataUri("asset", family="data", name="iris", label="latest")),
            ("/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/models/m/versions/1", DataUri("asset", family="models", name="m", version="1", workspace="w", group="g", subscription="s")),
            ("azureml:/subscriptions/s/resourceGroups/g/providers/P/workspaces/w/data/d/versions/2", DataUri("asset", family="data", name="d", version="2", workspace="w", group="g", subscription="s")),
            ("azureml://registries/azureml/environments/E/labels/latest", DataUri("asset", family="environments", name="E", label="latest", registry="azureml")),
            ("azureml://locations/local/workspaces/w/data/d/versions/1", DataUri("asset", family="data", name="d", version="1", workspace="w")),
            (f"{SUB}/data/d/versions/1/paths/x/y", DataUri("asset", family="data", name="d", version="1", path="x/y", workspace="w", group="g", subscription="s")),
            ("azureml://jobs/j/outputs/model/paths/m.pkl", DataUri("job_output", name="j", output="model", path="m.pkl")),
            ("azureml://jobs/j/outputs/artifacts/paths/model/", DataUri("job_output", name="j", output="artifacts", path="model")),
            ("runs:/r/model", DataUri("job_output", name="r", output="default", path="model")),
            ("wasbs://c@acct.blob.core.windows.net/a%20b/c", DataUri("blob", account="acct", container="c", path="a b/c", url="https://acct.blob.core.windows.net/c/a b/c")),
            ("https://example.org/iris.csv", DataUri("web", url="https://example.org/iris.csv", path="/iris.csv")),
        ],
    )
    def test_knows_the_forms(self, uri, expected):
        assert parse_uri(uri) == expected

    def test_both_styles_of_blob_addresses_are_the_same_place(self):
        for uri in ("https://acct.blob.core.windows.net/c/a%20b/d", "https://localhost:8443/acct.blob.core.windows.net/c/a%20b/d", "https://acct.dfs.core.lan.test/c/a%20b/d"):
            found = parse_uri(uri)
            assert (found.kind, found.account, found.container, found.path) == ("blob", "acct", "c", "a b/d")

    def test_the_family_is_that_of_the_field(self):
        assert parse_uri("azureml:m:1", "properties.inputs.m.uri", "models").family == "models"

    @given(NAMES, PIECES)
    def test_a_path_in_a_datastore_comes_through_unchanged(self, store, pieces):
        path = "/".join(pieces)
        assert parse_uri(f"azureml://datastores/{store}/paths/{path}").path == path

    @pytest.mark.parametrize(
        "uri",
        [
            "azureml://datastores/d/paths/../x", "azureml://datastores/d/paths/a/../../x", "https://acct.blob.core.windows.net/c/%2e%2e/x", "wasbs://c@a01.blob.core.windows.net/a/%2E%2E/b",
            "runs:/r/../../x", "azureml://jobs/j/outputs/o/paths/..", "azureml://datastores/d/paths/a\\b", "https://acct.blob.core.windows.net/c/a%00b", "a\0b",
        ],
    )
    def test_no_path_leads_out(self, uri):
        with pytest.raises(ArmError) as caught:
            parse_uri(uri, "properties.inputs.x.uri")
        assert (caught.value.status, caught.value.target) == (400, "properties.inputs.x.uri")

    @pytest.mark.parametrize("uri", ["", "   ", "x", "ftp://h/x", "azureml://nothing", "azureml://", "https://", "http://[", "file:///etc/passwd", "azureml:", "x" * 9000])
    def test_what_is_none_is_refused_by_name(self, uri):
        with pytest.raises(ArmError) as caught:
            parse_uri(uri, "field")
        assert (caught.value.status, caught.value.target) == (400, "field")

    @given(st.one_of(st.text(), st.builds(lambda head, tail: head + tail, st.sampled_from(["azureml://", "https://", "wasbs://", SUB + "/", "runs:/", "azureml:"]), st.text())))
    @example("https://[")
    @example("wasbs://c@[/x")
    @example("https://h/%ff%00")
    def test_anything_is_a_place_or_a_400_and_no_place_leads_out(self, text):
        try:
            found = parse_uri(text)
        except ArmError as error:
            assert error.status == 400
            return
        if found.kind != "web":
            assert not {".", ".."} & set(found.path.split("/"))
            assert "\0" not in found.path
