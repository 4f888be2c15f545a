"""What becomes of mini-batches: real scripts that work, raise, hang, crash, and leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.execution.runtime.parallel.running import Run, write_files

NAMES = "import os, sys, time, signal\ndef names(batch): return [os.path.basename(p) for p in batch]\ndef has(batch, name): return any(p.endswith('/' + name) for p in batch)\n"
FIRST_TIME = "def first_time(name):\n    try: os.close(os.open(name, os.O_CREAT | os.O_EXCL)); return True\n    except FileExistsError: return False\n"


def script(body: str) -> str:
    return NAMES + FIRST_TIME + body


class TestDone:
    def test_every_file_once_in_order_with_arguments_init_and_shutdown(self, tmp_path):
        names = write_files(tmp_path, 23)
        run = Run(tmp_path, script(
            "def init():\n    global seen\n    seen = sys.argv[1:]\n    print('init')\n"
            "def run(b):\n    assert len(b) <= 4 and seen == ['--x', '1'], (b, seen)\n    return names(b)\n"
            "def shutdown(): print('bye')\n"
        ), ("--x", "1"), mini_batch_size=4)
        assert (run.code, run.rows) == (0, names), run.out
        assert "mini-batches: 6 done, 0 failed, 0 left of 6; items: 23 processed, 0 failed" in run.out
        out = run.log("user/stdout/0/*.stdout.txt")
        assert 1 <= out.count("bye") <= 2  # not of a worker that was not needed any more
        assert run.log("job_result.txt") == "The parallel job is done.\n"
        assert run.log("sys/node/0/*.txt").count(": done, ") == 6
        assert "6 done" in run.log("job_progress_overview.*.txt") and "6 done" in run.log("sys/master_role.txt")

    def test_ten_files_are_a_mini_batch_unless_told(self, tmp_path):
        write_files(tmp_path, 21)
        run = Run(tmp_path, script("def run(b): return [str(len(b))]\n"))
        assert run.rows == ["10", "10", "1"]

    def test_the_context_is_given_to_a_run_that_takes_it(self, tmp_path):
        write_files(tmp_path, 3)
        run = Run(tmp_path, script("def run(b, mini_batch_context):\n    c = mini_batch_context\n    return [f'{c.minibatch_index} {c.mini_batch_index} {c.partition_key_value}']\n"), mini_batch_size=1)
        assert run.rows == ["0 0 None", "1 1 None", "2 2 None"]

    @pytest.mark.parametrize(("head", "gets"), [
        ("def run(b)", 1), ("def run(*given)", 2), ("def run(b, *more)", 2), ("def run(b, *, c=None)", 1), ("run = lambda b: [str(len([b]))]\ndef other(b, c)", 1),
        ("import functools\n@functools.wraps(lambda b, c: 0)\ndef run(*given)", 2),
        ("import functools\n@functools.wraps(lambda b: 0)\ndef run(*given)", 1),
        ("class Runs:\n    def __call__(self, b, c): return [str(2)]\nrun = Runs()\ndef other(b)", 2),
    ])
    def test_how_many_arguments_run_is_given(self, tmp_path, head, gets):
        write_files(tmp_path, 1)
        given = "given" if "given" in head else "[b, *more]" if "more" in head else "[b]"
        run = Run(tmp_path, script(f"{head}: return [str(len({given}))]\n"))
        assert run.rows == [str(gets)], run.out

    def test_of_a_worker_that_is_not_needed_nothing_is_left(self, tmp_path):
        write_files(tmp_path, 1)
        run = Run(tmp_path, script("def run(b): return names(b)\n"))
        assert run.code == 0 and [path.name for path in (tmp_path / "logs/user/stdout/0").iterdir()] == ["process000.stdout.txt"]

    def test_a_partition_is_a_mini_batch_with_its_keys(self, tmp_path):
        for path in ("red/1/a", "red/1/b", "blue/2/c"):
            (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / path).write_text("")
        run = Run(tmp_path, script("def run(b, c): return [f'{c.partition_key_value} {names(b)}']\n"), partition_keys=["color", "n"])
        assert run.rows == ["{'color': 'blue', 'n': '2'} ['c']", "{'color': 'red', 'n': '1'} ['a', 'b']"]

    def test_a_number_and_a_tuple_are_results_too(self, tmp_path):
        write_files(tmp_path, 4)
        run = Run(tmp_path, script("def run(b): return 2 if has(b, '000') else (1, 2)\n"), mini_batch_size=2, error_threshold=0)
        assert (run.code, run.rows) == (0, ["1", "2"])

    def test_workers_of_all_instances_work_at_once(self, tmp_path):
        """Each of four waits for the other three."""
        write_files(tmp_path, 4)
        run = Run(tmp_path, script(
            "def run(b):\n    open('here' + os.environ['NODE_RANK'] + str(os.getpid()), 'w').close()\n"
            "    while len([n for n in os.listdir('.') if n.startswith('here')]) < 4: time.sleep(0.01)\n    return [os.environ['NODE_RANK']]\n"
        ), mini_batch_size=1, instances=2)
        assert (run.code, sorted(run.rows)) == (0, ["0", "0", "1", "1"]), run.out
        assert sorted(p.name for p in (tmp_path / "logs/user/stdout").iterdir()) == ["0", "1"]

    def test_what_the_script_prints_and_logs_is_in_the_files_of_its_process(self, tmp_path):
        write_files(tmp_path, 1)
        run = Run(tmp_path, script(
            "import logging\nfrom azureml_user.parallel_run import EntryScript\n"
            "def run(b):\n    print('said'); print('complained', file=sys.stderr); logging.info('logged')\n    e = EntryScript()\n    e.logger.info('noted')\n"
            "    assert EntryScript() is e and os.path.isdir(e.log_dir)\n    return [e.agent_name]\n"
        ))
        assert run.rows == ["process000"], run.out
        out = run.log("user/stdout/0/process000.stdout.txt")
        assert "said\n" in out and "logged" in out
        assert run.log("user/stderr/0/process000.stderr.txt") == "complained\n"
        assert "noted" in run.log("user/entry_script_log/0/process000.log.txt")
        assert "said" not in run.out

    def test_the_script_can_import_its_neighbours_and_none_of_ours(self, tmp_path):
        write_files(tmp_path, 1)
        for name in ("worker", "messages", "plan"):
            (tmp_path / f"{name}.py").write_text(f"mine = '{name}'\n")
        run = Run(tmp_path, script("import worker, messages, plan\ndef run(b): return [worker.mine + messages.mine + plan.mine]\n"))
        assert run.rows == ["workermessagesplan"], run.out


class TestFailures:
    def test_an_exception_is_tried_again_and_then_counted(self, tmp_path):
        names = write_files(tmp_path, 4)
        run = Run(tmp_path, script("def run(b):\n    if has(b, '001'): raise KeyError('deep')\n    return names(b)\n"), mini_batch_size=1, max_retries=2)
        assert (run.code, run.rows) == (0, [names[0], *names[2:]])
        assert "3 done, 1 failed, 0 left of 4, 2 tried again; items: 4 processed, 1 failed" in run.out
        assert "1 mini-batches have failed, which the thresholds allow" in run.out
        assert run.log("user/error.txt").count("mini-batch 1 failed") == 3
        assert "KeyError: 'deep' (score.py, line" in run.log("user/error.txt")
        trace = run.log("user/error/0/*.txt")
        assert trace.count("raise KeyError('deep')") == 3 and "entry.py" not in trace

    @pytest.mark.parametrize(("how", "says"), [
        ("os._exit(9)", "exit code 9"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "signal 11 (SIGSEGV)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "out of memory"),
        ("sys.exit(4)", "SystemExit: 4"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ])
    def test_a_worker_that_dies_costs_one_try_of_its_mini_batch(self, tmp_path, how, says):
        names = write_files(tmp_path, 12)
        run = Run(tmp_path, script(f"def run(b):\n    if has(b, '005') and first_time('died'): {how}\n    return names(b)\n"), mini_batch_size=2, error_threshold=0)
        assert (run.code, run.rows) == (0, names), run.out
        assert says in run.log("user/error.txt") and "1 tried again" in run.out

    def test_rows_are_there_once_although_the_first_worker_died_after_it_had_done_the_work(self, tmp_path):
        """Killed by a child while its answer is on its way or already sent: whichever it was, the rows are there once."""
        names = write_files(tmp_path, 30)
        run = Run(tmp_path, script(
            "import subprocess\ndef run(b):\n    if first_time('shot' + names(b)[0][1]): subprocess.Popen(['/bin/sh', '-c', f'kill -9 {os.getpid()}'])\n    return names(b)\n"
        ), mini_batch_size=1, max_retries=20)
        assert (run.code, run.rows) == (0, names), run.out

    def test_a_worker_whose_children_live_on_is_gone_all_the_same(self, tmp_path):
        names = write_files(tmp_path, 2)
        run = Run(tmp_path, script(
            "def run(b):\n    if first_time('forked'):\n        if os.fork(): os._exit(1)\n        open('child', 'w').write(str(os.getpid()))\n        time.sleep(600)\n    return names(b)\n"
        ), mini_batch_size=1, workers_per_instance=1)
        assert (run.code, run.rows) == (0, names), run.out

    def test_a_run_that_takes_too_long_is_stopped_with_its_children_and_tried_again(self, tmp_path):
        names = write_files(tmp_path, 4)
        run = Run(tmp_path, script(
            "import subprocess\ndef run(b):\n    if has(b, '002') and first_time('slow'):\n        child = subprocess.Popen(['sleep', '600'])\n        open('child', 'w').write(str(child.pid))\n"
            "        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGALRM})\n        time.sleep(600)\n    return names(b)\n"
        ), mini_batch_size=1, timeout_s=1)
        assert (run.code, run.rows) == (0, names), run.out
        assert "run() took longer than 1 s" in run.log("user/error.txt")
        assert "score.py" in run.log("user/stderr/0/*.txt")  # where it hung
        stat = Path("/proc", (tmp_path / "child").read_text(), "stat")
        assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"  # nobody may be there to reap it

    def test_an_answer_that_comes_too_late_does_not_count(self, tmp_path):
        """The signal for the stack wakes a run() that then returns after all."""
        names = write_files(tmp_path, 1)
        run = Run(tmp_path, script(
            "class Woken(Exception): pass\ndef wake(*_): raise Woken\n"
            "def run(b):\n    if not first_time('slow'): return names(b)\n    signal.signal(signal.SIGUSR1, wake)\n"
            "    try: time.sleep(600)\n    except Woken: return ['late']\n"
        ), timeout_s=1)
        assert (run.code, run.rows) == (0, names), run.out

    @pytest.mark.parametrize(("result", "says"), [("None", "returned nothing"), ("'text'", "returned a str"), ("{}", "returned a dict"), ("True", "returned a bool"), ("1.5", "returned a float")])
    def test_what_is_no_result_is_a_failure(self, tmp_path, result, says):
        write_files(tmp_path, 1)
        run = Run(tmp_path, script(f"def run(b): return {result}\n"), mini_batch_error_threshold=0)
        assert run.code == 1 and says in run.out and "mini_batch_error_threshold allows 0" in run.log("job_result.txt")

    def test_shutdown_that_fails_is_told_and_costs_nothing(self, tmp_path):
        names = write_files(tmp_path, 2)
        run = Run(tmp_path, script("def run(b): return names(b)\ndef shutdown(): raise OSError('stuck')\n"))
        assert (run.code, run.rows) == (0, names)
        assert "shutdown(): OSError: stuck" in run.out


class TestThresholds:
    BAD = script("def run(b):\n    if int(names(b)[0]) < 3: raise ValueError('bad')\n    return names(b)\n")

    @pytest.mark.parametrize(("plan", "arguments", "code"), [
        ({"mini_batch_error_threshold": 3}, (), 0),
        ({"mini_batch_error_threshold": 2}, (), 1),
        ({"error_threshold": 6}, (), 0),
        ({"error_threshold": 5}, (), 1),
        ({"error_threshold": 5}, ("--error_threshold", "6"), 0),
        ({}, ("--allowed_failed_percent", "60"), 0),
        ({}, ("--allowed_failed_percent", "59"), 1),
        ({}, (), 0),
    ])
    def test_of_mini_batches_items_and_percent(self, tmp_path, plan, arguments, code):
        write_files(tmp_path, 10)
        # Two files in a mini-batch: 000, 002, ... come first; those of 000 and 002 fail, and 001 never comes first.
        run = Run(tmp_path, self.BAD.replace("< 3", "< 5"), arguments, mini_batch_size=2, max_retries=0, **plan)
        assert run.code == code, run.out

    def test_fewer_results_than_items_are_failed_items_but_no_failed_mini_batch(self, tmp_path):
        write_files(tmp_path, 10)
        body = script("def run(b): return names(b)[1:]\n")
        assert Run(tmp_path, body, mini_batch_size=5, error_threshold=2, mini_batch_error_threshold=0).code == 0
        run = Run(tmp_path, body, mini_batch_size=5, error_threshold=1)
        assert run.code == 1 and "2 items have failed; error_threshold allows 1" in run.out

    def test_past_a_threshold_nothing_more_is_begun(self, tmp_path):
        write_files(tmp_path, 200)
        run = Run(tmp_path, script("def run(b):\n    open('ran' + names(b)[0], 'w').close()\n    raise ValueError\n"), mini_batch_size=1, max_retries=0, mini_batch_error_threshold=0, workers_per_instance=1)
        assert run.code == 1
        assert len(list(tmp_path.glob("ran*"))) <= 2  # the one in hand meanwhile

    def test_a_job_that_is_bound_to_fail_fails_early(self, tmp_path):
        write_files(tmp_path, 50)
        run = Run(tmp_path, script("def run(b): raise ValueError\n"), mini_batch_size=1, max_retries=2, mini_batch_error_threshold=1, workers_per_instance=1)
        assert run.code == 1 and "0 done, 2 failed, 48 left of 50, 4 tried again" in run.out

    def test_no_progress(self, tmp_path):
        write_files(tmp_path, 1)
        run = Run(tmp_path, script("def run(b): time.sleep(600)\n"), ("--progress_update_timeout", "1"))
        assert run.code == 1 and "no mini-batch has ended for 1 s" in run.out


class TestStarts:
    def test_an_init_that_fails_once_is_tried_again(self, tmp_path):
        names = write_files(tmp_path, 2)
        run = Run(tmp_path, script("def init():\n    if first_time('init'): raise OSError('not yet')\ndef run(b): return names(b)\n"), workers_per_instance=1)
        assert (run.code, run.rows) == (0, names), run.out
        assert "could not start: init(): OSError: not yet" in run.out

    def test_an_init_that_always_fails_ends_the_job(self, tmp_path):
        write_files(tmp_path, 2)
        run = Run(tmp_path, script("def init(): raise OSError('never')\ndef run(b): return []\n"))
        assert run.code == 1 and "no worker can be started; the last error: init(): OSError: never" in run.log("job_result.txt")

    def test_an_init_that_hangs_is_stopped(self, tmp_path):
        write_files(tmp_path, 1)
        run = Run(tmp_path, script("def init():\n    if first_time('init'): time.sleep(600)\ndef run(b): return names(b)\n"), ("--first_task_creation_timeout", "1"))
        assert run.code == 0 and "init() took longer than 1 s" in run.out

    @pytest.mark.parametrize(("body", "says"), [
        ("import nothing_of_that_name\ndef run(b): return b\n", "ModuleNotFoundError: No module named 'nothing_of_that_name' (score.py, line 1)"),
        ("def run(b:\n", "SyntaxError"),
        ("def predict(b): return b\n", "has no function run(mini_batch)"),
        (None, "'score.py' is not in the code folder"),
    ])
    def test_a_script_that_cannot_be_loaded_ends_the_job_at_once(self, tmp_path, body, says):
        write_files(tmp_path, 1)
        run = Run(tmp_path, body)
        assert run.code == 1 and says in run.log("job_result.txt")
        assert "process002" not in run.log("sys/master_role.txt")

    def test_a_script_outside_of_the_code_is_not_run(self, tmp_path):
        write_files(tmp_path, 1)
        (tmp_path / "other.py").write_text("def run(b): return b\n")
        (tmp_path / "code").mkdir()
        (tmp_path / "code" / "link.py").symlink_to(tmp_path / "other.py")
        run = Run(tmp_path / "code", None, entry_script="link.py", input=str(tmp_path / "in"))
        assert run.code == 1 and "outside of the code folder" in run.out

    def test_nothing_to_do_is_an_error(self, tmp_path):
        (tmp_path / "in").mkdir()
        run = Run(tmp_path, script("def run(b): return b\n"))
        assert run.code == 1 and "There is nothing to do" in run.log("job_result.txt")
        assert not list((tmp_path / "logs").rglob("process*"))

    def test_an_argument_of_ours_that_makes_no_sense(self, tmp_path):
        write_files(tmp_path, 1)
        run = Run(tmp_path, script("def run(b): return b\n"), ("--allowed_failed_percent", "120"))
        assert run.code == 1 and "allowed_failed_percent" in run.log("job_result.txt")
