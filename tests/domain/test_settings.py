import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lazward
from lazward.domain.settings import (
    NAMES,
    Settings,
    SettingsError,
    Source,
    decode,
    describe,
    encode,
    folder_of,
    from_environment,
    is_loopback,
    merge,
    sqlite_path,
    url_host,
    variable,
    without_password,
)

BASE = Source("default", {"data_dir": "/data"})


def of(**values):
    return merge([Source("flags", values, spelled="flag"), BASE]).settings


def refused(match: str, *sources: Source) -> SettingsError:
    with pytest.raises(SettingsError, match=match) as caught:
        merge([*sources, BASE])
    return caught.value


# Values that are right for a setting, whichever source they come from.
GOOD = {
    "port": st.integers(1, 65535), "log_keep": st.integers(0, 100), "location": st.from_regex(r"[a-z0-9]{1,40}", fullmatch=True),
    "allow_python_download": st.booleans(), "log_level": st.sampled_from(["debug", "info", "warning", "error"]), "stop_grace": st.integers(0, 600),
}


class TestMerge:
    @given(st.lists(st.fixed_dictionaries({}, optional=GOOD), min_size=1, max_size=4))
    def test_the_first_source_that_names_a_setting_wins(self, layers):
        merged = merge([*(Source(f"source {i}", values) for i, values in enumerate(layers)), BASE])
        defaults = Settings()
        for name in GOOD:
            holders = [i for i, values in enumerate(layers) if name in values]
            expected = layers[holders[0]][name] if holders else getattr(defaults, name)
            assert getattr(merged.settings, name) == expected
            assert merged.origins[name] == (f"source {holders[0]}" if holders else "default")

    @given(st.fixed_dictionaries(GOOD))
    def test_text_means_what_the_typed_value_means(self, values):
        texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
        environ = {variable(name): text for name, text in texts.items()}
        assert merge([from_environment(environ), BASE]).settings == merge([Source("file", values), BASE]).settings

    @given(st.fixed_dictionaries(GOOD))
    def test_survives_the_file_for_the_children(self, values):
        settings = of(**values)
        assert decode(encode(settings)) == settings

    def test_an_unknown_name_is_refused_with_source_and_neighbour(self):
        error = refused("Did you mean LAZWARD_PORT", from_environment({"LAZWARD_PROT": "1"}))
        assert (error.name, error.origin) == ("LAZWARD_PROT", "environment")
        refused(r"^colour \(/d/settings.toml\): there is no such setting\.$", Source("/d/settings.toml", {"colour": 1}))

    @pytest.mark.parametrize(("source", "message"), [
        (Source("file", {"port": "8443"}), "port (file): expected int, got '8443'."),
        (Source("file", {"port": True}), "port (file): expected int, got True."),
        (Source("file", {"port": 70000}), "port (file): expected int <= 65535, got 70000."),
        (Source("flags", {"log_level": "loud"}, spelled="flag"), "--log-level (flags): expected one of debug, info, warning, error, got 'loud'."),
        (Source("file", {"allow_python_download": 1}), "allow_python_download (file): expected true or false, got 1."),
        (from_environment({"LAZWARD_ALLOW_PYTHON_DOWNLOAD": "yes"}), "LAZWARD_ALLOW_PYTHON_DOWNLOAD (environment): expected true or false, got 'yes'."),
        (from_environment({"LAZWARD_PORT": "x"}), "LAZWARD_PORT (environment): expected int, got 'x'."),
        (Source("file", {"xyz": {"port": 1}}), "xyz (file): there is no such setting."),
    ])
    def test_a_wrong_value_names_setting_source_and_expectation(self, source, message):
        with pytest.raises(SettingsError) as caught:
            merge([source, BASE])
        assert str(caught.value) == message

    def test_a_hidden_wrong_value_is_refused_too(self):
        refused("port", Source("flags", {"port": 1}), Source("file", {"port": "x"}))

    def test_equal_ports_are_refused_only_when_both_were_asked_for(self):
        refused("they must differ", Source("flags", {"port": 9, "gateway_port": 9}))
        assert of(port=8444).port == 8444  # the other one is chosen at the start
        assert of(port=0, gateway_port=0).gateway_port == 0


class TestNormalised:
    def test_state_lies_in_the_data_dir_by_default(self):
        settings = of()
        assert settings.database_url == "sqlite:////data/lazward.db"
        assert settings.storage_url == "file:///data/blobs"
        assert (sqlite_path(settings.database_url), folder_of(settings.storage_url)) == ("/data/lazward.db", "/data/blobs")

    @pytest.mark.parametrize("url", ["postgresql://u:p@h/db", "postgres://u:p@h/db", "postgresql+psycopg://u:p@h/db"])
    def test_postgresql_gets_its_driver(self, url):
        assert of(database_url=url).database_url == "postgresql+psycopg://u:p@h/db"
        assert sqlite_path(of(database_url=url).database_url) is None

    @pytest.mark.parametrize("url", ["mysql://h/db", "sqlite:///relative.db", "sqlite:////", "sqlite:////a?mode=ro", "lazward.db"])
    def test_other_databases_are_refused(self, url):
        refused("database_url", Source("flags", {"database_url": url}))

    @pytest.mark.parametrize(("url", "expected"), [
        ("/srv/my blobs", "file:///srv/my%20blobs"), ("file:///srv/blobs/", "file:///srv/blobs"), ("s3://bucket/prefix/", "s3://bucket/prefix"),
        ("az://container", "az://container"), ("gs://bucket", "gs://bucket"),
    ])
    def test_storage(self, url, expected):
        assert of(storage_url=url).storage_url == expected

    @given(st.text(alphabet="abc %é#?", min_size=1).map(lambda s: "/srv/" + s))
    def test_a_folder_survives_its_url(self, folder):
        assert folder_of(of(storage_url=folder).storage_url) == folder

    @pytest.mark.parametrize("url", ["relative", "ftp://h/x", "s3://", "file://host/x", "s3://key:secret@bucket", "az://c?sig=1"])
    def test_other_stores_are_refused(self, url):
        refused("storage_url", Source("flags", {"storage_url": url}))

    @pytest.mark.parametrize("folder", ["relative", "", "/a?b", "/a#b", "/a\nb", "/a%41"])
    def test_a_data_dir_that_would_break_urls_is_refused(self, folder):
        with pytest.raises(SettingsError, match="data_dir"):
            merge([Source("flags", {"data_dir": folder})])

    @pytest.mark.parametrize("host", ["https://x", "x:1", "a b", "-x", "0.0.0.0", "", "x/y", "xn--" + "a" * 64])
    def test_a_public_host_that_is_no_name_is_refused(self, host):
        refused("public_host", Source("flags", {"public_host": host}))

    def test_urls(self):
        assert of(public_host="AML.lan", port=9).base_url == "https://aml.lan:9"
        assert of(public_host="[::1]", gateway_port=9).gateway_url == "https://[::1]:9"
        assert url_host("10.0.0.1") == "10.0.0.1"


class TestS6AndS21NotReachableByAccident:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5"])
    def test_another_address_needs_a_public_name(self, host):
        error = refused("Set public_host", from_environment({"LAZWARD_HOST": host}))
        assert (error.name, error.origin) == ("LAZWARD_HOST", "environment")
        refused("Set public_host", Source("flags", {"host": host, "public_host": "127.0.0.1"}))
        assert of(host=host, public_host="aml.lan").host == host

    def test_the_default_is_loopback(self):
        assert is_loopback(of().host)
        assert of(host="localhost").host == "127.0.0.1"

    @pytest.mark.parametrize("host", ["aml.lan", "", "1.2.3", "127.0.0.1:80"])
    def test_a_name_is_no_address(self, host):
        refused("neither an IP address nor localhost", Source("flags", {"host": host}))

    @given(st.ip_addresses())
    def test_loopback_is_what_the_standard_says(self, address):
        assert is_loopback(str(address)) == address.is_loopback


class TestFromEnvironment:
    def test_takes_ours_only(self):
        environ = {"LAZWARD_PORT": "1", "LAZWARD_HOST": "", "LAZWARD_WORKSPACE": "w", "LAZWARD_JOB_NAME": "j", "PATH": "/bin"}
        assert from_environment(environ).values == {"port": "1"}


    def test_every_variable_of_ours_is_a_setting_or_known_to_be_none(self):
        """Else `lazward` would refuse to run where another part of the product has set it: inside a job, say."""
        package = Path(lazward.__file__).parent
        used = {name for path in package.rglob("*.py") for name in re.findall(r"LAZWARD_[A-Z_]*[A-Z]\b", path.read_text())}
        assert len(used) > 10
        merge([from_environment({name: "1" for name in used if name.removeprefix("LAZWARD_").lower() not in NAMES}), BASE])


class TestDescribe:
    def test_every_setting_has_a_description(self):
        described = describe()
        assert [d.name for d in described] == list(NAMES)
        for one in described:
            assert one.text.rstrip("`").endswith("."), one.name
            assert one.unit or not isinstance(one.default, int) or isinstance(one.default, bool), f"{one.name} has no unit"

    def test_every_default_is_allowed(self):
        msgspec.convert(msgspec.to_builtins(Settings()), Settings)


class TestWithoutPassword:
    @pytest.mark.parametrize(("url", "shown"), [
        ("postgresql+psycopg://u:p@ss@h/db", "postgresql+psycopg://u:***@h/db"), ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql://h/db?user=u&password=x&a=b", "postgresql://h/db?user=u&password=***&a=b"), ("sqlite:////a/b.db", "sqlite:////a/b.db"),
    ])
    def test_hides_it(self, url, shown):
        assert without_password(url) == shown
