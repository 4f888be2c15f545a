from __future__ import annotations

import json
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazward.domain.commands import Value, render
from lazward.domain.jobs import parallel

INPUTS = {"data": {"jobInputType": "uri_folder", "uri": "azureml:x:1"}, "n": {"jobInputType": "literal", "value": "3"}}
OUTPUTS = {"rows": {"jobOutputType": "uri_file"}}


def node(task: dict | None = None, **members) -> dict:
    """As the SDK sends it."""
    return {
        "input_data": "${{inputs.data}}",
        "task": {"type": "run_function", "entry_script": "score.py", "environment": "azureml:e:1", "code": "azureml:c:1", **(task or {})},
        **members,
    }


def targets(value, at=parallel.MEMBER) -> list[str]:
    return [error.target.removeprefix(at + ".") for error in parallel.check(value, INPUTS, OUTPUTS, at)]


class TestSettings:
    def test_defaults(self):
        assert parallel.check(node(), INPUTS, OUTPUTS) == []
        s = parallel.settings_of(node())
        assert (s.mini_batch_size, s.timeout_s, s.max_retries, s.error_threshold, s.mini_batch_error_threshold) == (None, 60, 2, -1, -1)
        assert (s.instances, s.concurrency, s.logging_level, s.append_row_to, s.partition_keys) == (1, None, "INFO", None, ())

    def test_all_as_the_sdk_sends_them(self):
        s = parallel.settings_of(node(
            {"append_row_to": "${{outputs.rows}}"}, mini_batch_size=10240, partition_keys='["Store", "Brand"]', retry_settings={"timeout": 5, "max_retries": 0},
            max_concurrency_per_instance="4", resources={"instance_count": 2}, error_threshold="7", mini_batch_error_threshold=5, logging_level="debug",
        ))
        assert (s.mini_batch_size, s.partition_keys, s.timeout_s, s.max_retries, s.concurrency, s.instances) == (10240, ("Store", "Brand"), 5, 0, 4, 2)
        assert (s.error_threshold, s.mini_batch_error_threshold, s.logging_level, s.append_row_to) == (7, 5, "DEBUG", ("rows", ""))

    @pytest.mark.parametrize(("given", "meant"), [(0, None), ("0", None), ("", None), ("5", 5), ("10kb", 10240), ("1MB", 1 << 20), ("2 gb", 2 << 30), ("7b", 7)])
    def test_sizes(self, given, meant):
        assert parallel.settings_of(node(mini_batch_size=given)).mini_batch_size == meant

    @pytest.mark.parametrize("given", [["a", "b"], '["a", "b"]', json.dumps(json.dumps(["a", "b"]))])
    def test_partition_keys_as_a_list_or_json_or_json_of_json(self, given):
        assert parallel.settings_of(node(partition_keys=given)).partition_keys == ("a", "b")

    def test_workers_share_the_machine_unless_told(self):
        assert parallel.workers(parallel.settings_of(node(resources={"instance_count": 2})), 8) == 4
        assert parallel.workers(parallel.settings_of(node(resources={"instance_count": 9})), 8) == 1
        assert parallel.workers(parallel.settings_of(node(max_concurrency_per_instance=3)), 1) == 3


class TestCheck:
    @pytest.mark.parametrize(("value", "target"), [
        (node(mini_batch_size="many"), "mini_batch_size"),
        (node(mini_batch_size=-1), "mini_batch_size"),
        (node(mini_batch_size=True), "mini_batch_size"),
        (node(partition_keys="Store"), "partition_keys"),
        (node(partition_keys=["a", "a"]), "partition_keys"),
        (node(retry_settings={"timeout": 0}), "retry_settings.timeout"),
        (node(retry_settings={"timeout": 300_000}), "retry_settings.timeout"),
        (node(retry_settings={"max_retries": -1}), "retry_settings.max_retries"),
        (node(retry_settings=[]), "retry_settings"),
        (node(error_threshold=-2), "error_threshold"),
        (node(mini_batch_error_threshold="x"), "mini_batch_error_threshold"),
        (node(mini_batch_error_threshold=1.5), "mini_batch_error_threshold"),
        (node(max_concurrency_per_instance=0), "max_concurrency_per_instance"),
        (node(max_concurrency_per_instance=100, resources={"instance_count": 11}), "max_concurrency_per_instance"),
        (node(resources={"instance_count": 0}), "resources.instance_count"),
        (node(logging_level="LOUD"), "logging_level"),
        (node(input_data=None), "input_data"),
        (node(input_data="${{inputs.other}}"), "input_data"),
        (node(input_data="${{inputs.n}}"), "input_data"),
        (node(input_data="data"), "input_data"),
        (node({"type": "model"}), "task.type"),
        (node({"entry_script": ""}), "task.entry_script"),
        (node({"entry_script": "../x.py"}), "task.entry_script"),
        (node({"entry_script": "/x.py"}), "task.entry_script"),
        (node({"environment": None}), "task.environment"),
        (node({"program_arguments": "--a ${{inputs.nothing}}"}), "task.program_arguments"),
        (node({"program_arguments": "--a ${{parent.inputs.x}}"}), "task.program_arguments"),
        (node({"program_arguments": 3}), "task.program_arguments"),
        (node({"append_row_to": "${{outputs.nothing}}"}), "task.append_row_to"),
        (node({"append_row_to": "${{outputs.rows}}/../x"}), "task.append_row_to"),
        (node({"append_row_to": "rows.txt"}), "task.append_row_to"),
        ({**node(), "task": None}, "task"),
        ({**node(), "task": "score.py"}, "task"),
    ])
    def test_each_fault_names_its_place(self, value, target):
        assert targets(value) == [target]

    def test_all_at_once_below_the_place_that_was_asked_for(self):
        found = parallel.check(node({"entry_script": None}, error_threshold="x", logging_level="x"), INPUTS, OUTPUTS, "properties.jobs.score")
        assert [e.target for e in found] == ["properties.jobs.score.logging_level", "properties.jobs.score.error_threshold", "properties.jobs.score.task.entry_script"]

    def test_no_object(self):
        assert [e.target for e in parallel.check([], INPUTS, OUTPUTS)] == [parallel.MEMBER]

    @given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)), st.sampled_from(sorted({
        "mini_batch_size", "partition_keys", "retry_settings", "error_threshold", "mini_batch_error_threshold", "max_concurrency_per_instance", "resources", "logging_level",
        "input_data", "task",
    })))
    def test_anything_is_told_not_raised(self, value, member):
        for error in parallel.check({**node(), member: value}, INPUTS, OUTPUTS):
            assert error.status == 400 and error.target.startswith(parallel.MEMBER)


class TestCommand:
    def words(self, arguments: str, **inputs: str) -> list[str]:
        """What the runner gets, by the shell that runs the command."""
        command = render(parallel.command_of(node({"program_arguments": arguments})), {k: Value(v) for k, v in inputs.items()}, {})
        shown = command.replace("exec python -u", "printf '%s\\0'", 1)
        out = subprocess.run(["/bin/bash", "-c", shown], env={"LAZWARD_PARALLEL": "R", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True).stdout
        first, *rest = out.split("\0")[:-1]
        assert first == "R"
        return rest

    def test_without_arguments(self):
        assert parallel.command_of(node()) == 'exec python -u "$LAZWARD_PARALLEL"'

    def test_bindings_and_quotes(self):
        assert self.words("--a ${{inputs.a}} --b 'x y' --c \"p ${{inputs.b}}\"\n  --d 1", a="1,2", b="q r") == ["--a", "1,2", "--b", "x y", "--c", "p q r", "--d", "1"]

    def test_an_optional_piece(self):
        assert self.words("--a 1 $[[--b ${{inputs.b}}]]") == ["--a", "1"]
        assert self.words("--a 1 $[[--b ${{inputs.b}}]]", b="2") == ["--a", "1", "--b", "2"]

    @pytest.mark.parametrize("text", ["--x a;id", "--x $(id)", "--x `id`", "--x a>b", "--x a|b", "--x a&b", "--x *", "--x ~", "--x {a,b}", "--x $HOME", "--x #c", "--x !a"])
    def test_what_a_shell_would_act_on_is_text(self, text):
        assert self.words(text) == text.split()

    def test_within_double_quotes_too(self):
        assert self.words('--x "$HOME `id` $(id)"') == ["--x", "$HOME `id` $(id)"]

    @settings(max_examples=40, deadline=None)
    @given(st.text(alphabet=st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\r\n"), max_size=30))
    def test_a_value_stays_one_value(self, value):
        assert self.words('--x "${{inputs.a}}" end', a=value) == ["--x", value, "end"]
