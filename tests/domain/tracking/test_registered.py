from lazward.domain.tracking.registered import aliases_of


def test_aliases():
    assert aliases_of({"mlflow.alias.a.b": "1", "mlflow.runId": "r", "other": "2"}) == {"a.b": "1"}
