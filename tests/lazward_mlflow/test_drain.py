"""A journal is sent whole, in order and once, whatever happens on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazward_mlflow import drain
from lazward_mlflow.drain import FAULTS, MAX_METRICS, Drain
from lazward_mlflow.senders import Away, Forbidden
from tests.lazward_mlflow.standin import RUN, StandIn, create_run, error, left_behind, metric, param, post, tag

OTHER = "cd" * 16


class TestMerging:
    def test_metrics_go_in_batches_of_a_thousand(self, tmp_path):
        server = StandIn()
        Drain(left_behind(tmp_path, create_run(), *(metric("m", n, n) for n in range(2500))), server).run()
        assert server.names() == ["runs/create", "runs/log-batch", "runs/log-batch", "runs/log-batch"]
        assert [len(body["metrics"]) for _, body in server.calls[1:]] == [MAX_METRICS, MAX_METRICS, 500]
        assert server.metrics[RUN] == [("m", n, n) for n in range(2500)]

    def test_of_several_runs_side_by_side(self, tmp_path):
        server = StandIn()
        records = [r for n in range(50) for r in (metric("a", n, n), metric("b", n, n, OTHER))]
        Drain(left_behind(tmp_path, create_run(), create_run(OTHER), *records), server).run()
        assert server.names() == ["runs/create"] * 2 + ["runs/log-batch"] * 2
        assert [len(v) for v in server.metrics.values()] == [50, 50]

    def test_nothing_is_moved_past_a_call_of_another_kind(self, tmp_path):
        server = StandIn()
        Drain(left_behind(tmp_path, create_run(), metric("a", 1), tag("t", "1"), post("runs/update", run_id=RUN, status="FINISHED"), metric("a", 2), tag("t", "2")), server).run()
        assert server.names() == ["runs/create", "runs/log-batch", "runs/update", "runs/log-batch"]
        assert server.tags == {(RUN, "t"): "2"}

    def test_the_last_value_of_a_tag_holds(self, tmp_path):
        server = StandIn()
        Drain(left_behind(tmp_path, create_run(), *(tag("t", str(n)) for n in range(5)), *(param(f"p{n}", "x") for n in range(120))), server).run()
        assert server.tags == {(RUN, "t"): "4"} and len(server.params) == 120
        assert [len(body.get("params", ())) for _, body in server.calls[1:]] == [100, 20]

    def test_a_batch_is_not_larger_than_servers_take(self, tmp_path):
        server = StandIn()
        Drain(left_behind(tmp_path, create_run(), *(tag(f"t{n}", "x" * 400_000) for n in range(5))), server).run()
        assert [len(body.get("tags", [1])) for _, body in server.calls[1:]] == [2, 2, 1]


class TestRefused:
    def test_the_rest_goes_on(self, tmp_path):
        server = StandIn()
        place = left_behind(tmp_path, create_run(), param("a", "1"), param("a", "2"), metric("m", 1), metric("m", 2, run=OTHER), param("b", "3"))
        made = Drain(place, server)
        made.run()
        assert server.params == {(RUN, "a"): "1", (RUN, "b"): "3"} and server.metrics[RUN] == [("m", 1, 0)]
        assert (made.sent, made.refused) == (4, 2)
        refused = {r["call"]["b"]["key"]: (r["status"], "it is" in r["reason"]) for r in place.refused()}
        assert refused == {"a": (400, True), "m": (404, True)}

    def test_what_was_about_something_that_is_made_later_is_said_once_more(self, tmp_path):
        server = StandIn()
        place = left_behind(tmp_path, metric("m", 1), metric("lost", 1, run="ee" * 16), tag("t", "x"), create_run(), metric("m", 2))
        made = Drain(place, server)
        made.run()
        assert sorted(server.metrics[RUN]) == [("m", 1, 0), ("m", 2, 0)] and server.tags == {(RUN, "t"): "x"}
        assert [r["call"]["b"]["key"] for r in place.refused()] == ["lost"]
        assert (made.sent, made.refused) == (4, 1)

    def test_and_loses_nothing_when_the_server_goes_away_meanwhile(self, tmp_path):
        server = StandIn()
        place = left_behind(tmp_path, metric("a", 1), metric("b", 2), create_run())
        asked = []

        def fault(name, body):
            asked.append(name)
            return error(503, "X") if len(asked) == 6 else None  # the batch, its two calls, the run, one of the second chances, the other

        server.fault = fault
        made = Drain(place, server)
        with pytest.raises(Away):
            made.run()
        assert [r["call"]["b"]["key"] for r in place.refused()] == ["b"]
        made.run()
        assert place.refused() == [] and server.metrics[RUN] == [("a", 1, 0), ("b", 2, 0)]

    def test_one_of_a_batch(self, tmp_path):
        server = StandIn()
        server.params[RUN, "a"] = "there"
        place = left_behind(tmp_path, create_run(), metric("m", 1), param("a", "2"), tag("t", "x"), param("b", "3"))
        Drain(place, server).run()
        assert (server.metrics[RUN], server.tags, server.params) == ([("m", 1, 0)], {(RUN, "t"): "x"}, {(RUN, "a"): "there", (RUN, "b"): "3"})
        assert [r["call"]["b"]["key"] for r in place.refused()] == ["a"]

    def test_a_damaged_line_is_told(self, tmp_path):
        place = left_behind(tmp_path, create_run(), metric("a", 1), metric("b", 2))
        path = Path(place.journal)
        path.write_bytes(path.read_bytes().replace(b'"key":"a"', b'"key":"x"'))
        server = StandIn()
        Drain(place, server).run()
        assert server.metrics[RUN] == [("b", 2, 0)]
        assert "damaged" in place.refused()[0]["reason"]

    def test_a_call_at_which_the_server_fails_holds_up_the_others_only_for_a_while(self, tmp_path):
        server = StandIn()
        server.fault = lambda name, body: error(500, "INTERNAL_ERROR") if "poison" in str(body) else None
        place = left_behind(tmp_path, create_run(), metric("a", 1), metric("poison", 1), metric("b", 1), post("runs/update", run_id=RUN, status="FINISHED"))
        for _ in range(FAULTS):
            with pytest.raises(Away):
                Drain(place, server).run()
        Drain(place, server).run()
        assert {m[0] for m in server.metrics[RUN]} == {"a", "b"} and server.names()[-1] == "runs/update"
        assert [r["call"]["b"]["key"] for r in place.refused()] == ["poison"]

    def test_a_server_that_fails_at_everything_refuses_nothing(self, tmp_path):
        server = StandIn()
        server.fault = lambda name, body: error(500, "INTERNAL_ERROR")
        place = left_behind(tmp_path, create_run(), metric("a", 1))
        for _ in range(FAULTS + 3):
            with pytest.raises(Away):
                Drain(place, server).run()
        server.fault = lambda name, body: None
        Drain(place, server).run()
        assert server.metrics[RUN] == [("a", 1, 0)] and place.refused() == []

    @pytest.mark.parametrize(("status", "error_"), [(401, Forbidden), (403, Forbidden), (429, Away), (503, Away), (502, Away), (408, Away), (302, Away)])
    def test_what_is_no_word_about_the_call_is_not_taken_for_one(self, tmp_path, status, error_):
        server = StandIn()
        server.fault = lambda name, body: error(status, "X")
        place = left_behind(tmp_path, create_run(), metric("a", 1))
        with pytest.raises(error_):
            Drain(place, server).run()
        assert place.refused() == [] and place.state()["at"] == 0


class TestIds:
    def test_an_experiment_that_is_there_already_is_used(self, tmp_path):
        server = StandIn()
        server.experiments["iris"] = "77"
        own = "01234567-89ab-cdef-0123-456789abcdef"
        place = left_behind(tmp_path, post("experiments/create", name="iris", lazward_id=own) | {"o": own}, create_run(experiment=own), metric("a", 1))
        Drain(place, server).run()
        assert [body["experiment_id"] for name, body in server.calls if name == "runs/create"] == ["77"]
        assert place.refused() == []

    def test_a_server_that_names_things_itself(self, tmp_path):
        server = StandIn(names_itself=True)
        own = "01234567-89ab-cdef-0123-456789abcdef"
        file = {"m": "PUT", "p": f"/api/2.0/mlflow-artifacts/artifacts/{RUN}/artifacts/a.txt", "f": "x", "z": 2}
        place = left_behind(tmp_path, post("experiments/create", name="iris", lazward_id=own) | {"o": own}, create_run(experiment=own), metric("a", 1), file)
        (Path(place.folder) / "files").mkdir()
        (Path(place.folder) / "files" / "x").write_bytes(b"hi")
        Drain(place, server).run()
        assert server.metrics == {"theirs0": [("a", 1, 0)]}
        assert server.files == {"theirs0/artifacts/a.txt": b"hi"}
        assert place.state()["ids"] == {own: "1", RUN: "theirs0"}

    def test_what_is_said_twice_is_no_fault(self, tmp_path):
        server = StandIn()
        server.metrics[RUN] = []
        taken = error(400, "RESOURCE_ALREADY_EXISTS")
        server.fault = lambda name, body: taken if name == "runs/create" else (200, b"{}") if name == "runs/get" else error(404, "X") if name == "runs/delete-tag" else None
        place = left_behind(tmp_path, create_run(), post("runs/delete-tag", run_id=RUN, key="a"))
        Drain(place, server).run()
        assert place.refused() == []


class TestFiles:
    def place(self, tmp_path, size: int = 5):
        place = left_behind(tmp_path, {"m": "PUT", "p": "/api/2.0/mlflow-artifacts/artifacts/r/artifacts/a.bin", "f": "x", "z": size, "h": {"Content-Type": "text/plain"}})
        (Path(place.folder) / "files").mkdir()
        (Path(place.folder) / "files" / "x").write_bytes(b"hello")
        return place

    def test_sent_and_gone(self, tmp_path):
        server, place = StandIn(), self.place(tmp_path)
        made = Drain(place, server)
        made.run()
        assert server.files == {"r/artifacts/a.bin": b"hello"} and made.bytes == 5
        assert list((Path(place.folder) / "files").iterdir()) == []

    def test_kept_until_it_is_taken(self, tmp_path):
        server, place = StandIn(), self.place(tmp_path)
        server.fault = lambda name, body: error(503, "X")
        with pytest.raises(Away):
            Drain(place, server).run()
        assert (Path(place.folder) / "files" / "x").exists()
        server.fault = lambda name, body: error(400, "X")
        Drain(place, server).run()
        assert (Path(place.folder) / "files" / "x").exists() and len(place.refused()) == 1

    def test_one_that_is_not_what_was_kept_is_not_sent(self, tmp_path):
        server, place = StandIn(), self.place(tmp_path, size=6)
        Drain(place, server).run()
        assert server.files == {} and "not the 6 that were kept" in place.refused()[0]["reason"]

    def test_an_empty_one(self, tmp_path):
        server, place = StandIn(), self.place(tmp_path, size=0)
        (Path(place.folder) / "files" / "x").write_bytes(b"")
        Drain(place, server).run()
        assert server.files == {"r/artifacts/a.bin": b""}


class Died(BaseException):
    pass


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_killed_at_any_answer_and_begun_again(tmp_path_factory, data):
    """However often it is killed, before or after the server has taken a call: every value is there once, tags have their last value."""
    folder = tmp_path_factory.mktemp("d")
    kinds = st.sampled_from(["metric", "tag", "param", "update"])
    wanted = data.draw(st.lists(st.tuples(kinds, st.sampled_from([RUN, OTHER])), max_size=30))
    records = [create_run(), create_run(OTHER)]
    for n, (kind, run) in enumerate(wanted):
        made = {"metric": metric("m", n, n, run), "tag": tag("t", str(n), run), "param": param(f"p{n}", "v", run), "update": post("runs/update", run_id=run, status="RUNNING")}
        records.append(made[kind])
    place, server = left_behind(folder, *records), StandIn()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drain, "WINDOW", data.draw(st.integers(1, 10)))
        for _ in range(6):
            left = data.draw(st.integers(0, 5))
            before = data.draw(st.booleans())

            def dying(*args, left=[left], before=before, **kwargs):  # noqa: B006
                left[0] -= 1
                if left[0] < 0:
                    if not before:
                        server(*args, **kwargs)
                    raise Died
                return server(*args, **kwargs)

            try:
                Drain(place, dying).run()
            except Died:
                continue
        Drain(place, server).run()
    for run in (RUN, OTHER):
        assert server.metrics[run] == [("m", n, n) for n, (kind, r) in enumerate(wanted) if (kind, r) == ("metric", run)]
        tags = [str(n) for n, (kind, r) in enumerate(wanted) if (kind, r) == ("tag", run)]
        assert server.tags.get((run, "t")) == (tags[-1] if tags else None)
    assert len(server.params) == sum(kind == "param" for kind, _ in wanted)
    assert place.refused() == []
