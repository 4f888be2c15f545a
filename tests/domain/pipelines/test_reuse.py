from __future__ import annotations

import pytest

from lazward.domain.pipelines.reuse import difference, digest, parts

JOB = {"jobType": "Command", "command": "x", "environmentVariables": {"A": "1"}, "outputs": {"o": {}}, "resources": {"instanceCount": 1}, "displayName": "one", "limits": {"timeout": "PT1S"}}
CONTENT = {"code": "c", "environment": "e", "inputs": {"i": "=1"}, "custom_outputs": {}}


def of(**changes):
    return parts({**JOB, **changes}, **CONTENT)


class TestParts:
    def test_names_and_limits_do_not_count(self):
        assert digest(of()) == digest(of(displayName="two", tags={"a": "b"}, limits={"timeout": "PT9S"}, computeId="other"))

    @pytest.mark.parametrize("change", [{"command": "y"}, {"environmentVariables": {"A": "2"}}, {"resources": {"instanceCount": 2}}, {"outputs": {"p": {}}}, {"distribution": {"distributionType": "Mpi"}}])
    def test_what_is_run_counts(self, change):
        assert difference(of(), of(**change)) == "the component is another"

    def test_each_difference_is_named(self):
        other = parts(JOB, code="d", environment="f", inputs={"i": "=2", "j": "=1"}, custom_outputs={"o": "there"})
        assert difference(of(), other) == "the code is another, the environment is another, the input 'i' is another, the input 'j' is another, the output 'o' is another"
        assert difference(of(), of()) == ""
