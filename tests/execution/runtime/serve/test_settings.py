from __future__ import annotations

import pytest

from lazward.execution.runtime.serve.settings import Settings

NEEDED = {"LAZWARD_SERVE_SOCKET": "/s", "LAZWARD_SERVE_STATE": "/state", "AZUREML_ENTRY_SCRIPT": "score.py"}


def test_only_little_is_needed():
    settings = Settings.read(NEEDED)
    assert (settings.workers, settings.scoring_timeout_s, settings.max_body) == (1, 3600, 100 * 1024 * 1024)
    assert settings.cors_origins == ()


def test_origins_are_a_list():
    assert Settings.read({**NEEDED, "AML_CORS_ORIGINS": " https://a.com ,,b "}).cors_origins == ("https://a.com", "b")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LAZWARD_SERVE_SOCKET", ""),
        ("LAZWARD_SERVE_STATE", ""),
        ("LAZWARD_SERVE_WORKERS", "0"),
        ("LAZWARD_SERVE_WORKERS", "two"),
        ("SCORING_TIMEOUT_MS", "-1"),
        ("SCORING_TIMEOUT_MS", "nan"),
        ("LAZWARD_SERVE_MAX_BODY", "inf"),
        ("AZUREML_ENTRY_SCRIPT", ""),
    ],
)
def test_a_wrong_variable_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        Settings.read({**NEEDED, name: value})
