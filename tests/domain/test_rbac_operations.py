from lazward.domain.rbac_operations import DATA_OPERATIONS, ML_OPERATIONS, OPERATIONS, by_type, expand


def test_expand():
    assert list(expand("\n# nothing\na/b: read start/action  # why\n: register/action\n", "P")) == ["P/a/b/read", "P/a/b/start/action", "P/register/action"]


def test_as_many_as_azure_lists():
    assert len(ML_OPERATIONS) == len(set(ML_OPERATIONS)) == 279
    assert sum(len(kinds) for kinds in [by_type("microsoft.machinelearningservices")["Microsoft.MachineLearningServices"]]) == 109 + 6


def test_by_type_holds_every_operation_once():
    found = [op for kinds in by_type().values() for operations in kinds.values() for op in operations]
    assert sorted(found) == sorted([(op, False) for op in OPERATIONS] + [(op, True) for op in DATA_OPERATIONS])


def test_by_type_puts_an_operation_under_its_type():
    kinds = by_type("Microsoft.MachineLearningServices")["Microsoft.MachineLearningServices"]
    assert ("Microsoft.MachineLearningServices/workspaces/jobs/cancel/action", False) in kinds["workspaces/jobs"]
    assert kinds[""] == [("Microsoft.MachineLearningServices/register/action", False)]
    assert by_type("no.such") == {}
