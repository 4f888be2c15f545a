from lazward.storage import tasks


class TestClaim:
    def test_gives_due_tasks_in_order_and_only_once(self, db, clock):
        ids = [db.write_now(tasks.enqueue, "k", f"s{i}", {}, clock() - i) for i in range(3)]
        first = db.write_now(tasks.claim, "w1", 10, clock(), 30)
        assert [t.id for t in first] == ids[::-1]
        assert db.write_now(tasks.claim, "w2", 10, clock(), 30) == []

    def test_later_tasks_wait_for_their_time(self, db, clock):
        db.write_now(tasks.enqueue, "k", "s", {}, clock(), due=clock() + 60)
        assert db.write_now(tasks.claim, "w", 10, clock(), 30) == []
        clock.forward(61)
        assert len(db.write_now(tasks.claim, "w", 10, clock(), 30)) == 1

    def test_a_dead_workers_task_is_given_on_when_its_lease_ends(self, db, clock):
        db.write_now(tasks.enqueue, "k", "s", {}, clock())
        (mine,) = db.write_now(tasks.claim, "w1", 1, clock(), 30)
        clock.forward(31)
        (theirs,) = db.write_now(tasks.claim, "w2", 1, clock(), 30)
        assert theirs.id == mine.id
        assert theirs.attempts == 2
        assert not db.write_now(tasks.finish, mine, "Succeeded", clock())
        assert db.write_now(tasks.finish, theirs, "Succeeded", clock())


class TestEnqueue:
    def test_one_open_task_a_subject_and_kind(self, db, clock):
        first = db.write_now(tasks.enqueue, "k", "s", {}, clock())
        assert db.write_now(tasks.enqueue, "k", "s", {}, clock()) == first
        assert db.write_now(tasks.enqueue, "other", "s", {}, clock()) != first

    def test_after_the_end_a_new_one_is_made(self, db, clock):
        first = db.write_now(tasks.enqueue, "k", "s", {}, clock())
        (held,) = db.write_now(tasks.claim, "w", 1, clock(), 30)
        db.write_now(tasks.finish, held, "Succeeded", clock())
        assert db.write_now(tasks.enqueue, "k", "s", {}, clock()) != first

    def test_wakes_the_worker_after_the_commit(self, db, clock):
        woken = []
        db.on_tasks = lambda: woken.append(1)
        db.write_now(tasks.enqueue, "k", "s", {}, clock())
        assert woken == [1]


class TestLeases:
    def test_extending_keeps_only_what_is_still_owned(self, db, clock):
        db.write_now(tasks.enqueue, "k", "a", {}, clock())
        db.write_now(tasks.enqueue, "k", "b", {}, clock())
        a, b = db.write_now(tasks.claim, "w", 2, clock(), 30)
        db.write_now(tasks.finish, b, "Succeeded", clock())
        held = [(a.id, a.lease_token), (b.id, b.lease_token)]
        assert db.write_now(tasks.extend, held, clock() + 60) == [a.id]

    def test_a_restarted_worker_frees_what_its_predecessor_held(self, db, clock):
        db.write_now(tasks.enqueue, "k", "s", {}, clock())
        db.write_now(tasks.claim, "w1", 1, clock(), 3600)
        db.write_now(tasks.release_worker, "w1")
        assert len(db.write_now(tasks.claim, "w1", 1, clock() + 1, 30)) == 1

    def test_one_that_died_keeps_its_attempts_and_one_that_stopped_does_not(self, db, clock):
        for died, attempts in ((True, 2), (False, 1)):
            db.write_now(tasks.enqueue, "k", str(died), {}, clock())
            db.write_now(tasks.claim, "w", 1, clock(), 30)
            db.write_now(tasks.release_worker, "w", died=died)
            (again,) = db.write_now(tasks.claim, "w", 1, clock() + 1, 30)
            assert again.attempts == attempts
            assert db.write_now(tasks.finish, again, "Succeeded", clock())


class TestAskedForAgain:
    """A change that comes while the worker already looked at what there was must not be forgotten with the end of the task."""

    def test_one_that_is_worked_on_begins_anew_instead_of_ending(self, db, clock):
        first = db.write_now(tasks.enqueue, "k", "s", {"phase": 0}, clock())
        (held,) = db.write_now(tasks.claim, "w", 1, clock(), 30)
        db.write_now(tasks.checkpoint, held, {"phase": "switched"})
        assert db.write_now(tasks.enqueue, "k", "s", {"phase": 0}, clock()) == first
        assert db.write_now(tasks.finish, held, "Succeeded", clock()) == "InProgress"
        (again,) = db.write_now(tasks.claim, "w", 1, clock(), 30)
        assert (again.id, again.state) == (first, {"phase": 0})
        assert db.write_now(tasks.finish, again, "Succeeded", clock()) == "Succeeded"
        assert db.read_now(tasks.get, first).status == "Succeeded"

    def test_even_if_the_worker_died_in_between(self, db, clock):
        db.write_now(tasks.enqueue, "k", "s", {}, clock())
        (held,) = db.write_now(tasks.claim, "w", 1, clock(), 30)
        db.write_now(tasks.checkpoint, held, {"phase": "failed"})
        db.write_now(tasks.enqueue, "k", "s", {}, clock())
        db.write_now(tasks.release_worker, "w", died=True)
        (held,) = db.write_now(tasks.claim, "w", 1, clock(), 30)
        assert held.state == {"phase": "failed"}  # what was begun is brought to its end first
        assert db.write_now(tasks.finish, held, "Failed", clock()) == "InProgress"
        (held,) = db.write_now(tasks.claim, "w", 1, clock(), 30)
        assert held.state == {}

    def test_one_that_puts_itself_back_does_not_wait(self, db, clock):
        db.write_now(tasks.enqueue, "k", "s", {}, clock())
        (held,) = db.write_now(tasks.claim, "w", 1, clock(), 30)
        db.write_now(tasks.enqueue, "k", "s", {}, clock())
        db.write_now(tasks.put_back, held, {}, clock() + 60, clock())
        (held,) = db.write_now(tasks.claim, "w", 1, clock(), 30)
        db.write_now(tasks.put_back, held, {}, clock() + 60, clock())  # once is enough
        assert db.write_now(tasks.claim, "w", 1, clock() + 59, 30) == []

    def test_one_that_waits_for_its_time_is_due(self, db, clock):
        db.write_now(tasks.enqueue, "k", "s", {}, clock(), due=clock() + 60)
        db.write_now(tasks.enqueue, "k", "s", {}, clock())
        (held,) = db.write_now(tasks.claim, "w", 1, clock(), 30)
        assert db.write_now(tasks.finish, held, "Succeeded", clock()) == "Succeeded"


class TestCallOff:
    def test_ends_what_is_open_and_nothing_else(self, db, clock):
        mine, other, kind = (db.write_now(tasks.enqueue, k, s, {}, clock()) for k, s in (("k", "s"), ("k", "t"), ("j", "s")))
        db.write_now(tasks.call_off, "k", "s", clock())
        assert [db.read_now(tasks.get, task).status for task in (mine, other, kind)] == ["Canceled", "InProgress", "InProgress"]
        assert db.write_now(tasks.enqueue, "k", "s", {}, clock()) != mine

    def test_who_had_it_in_hand_has_lost_it(self, db, clock):
        db.write_now(tasks.enqueue, "k", "s", {}, clock())
        (held,) = db.write_now(tasks.claim, "w", 1, clock(), 30)
        db.write_now(tasks.call_off, "k", "s", clock())
        assert not db.write_now(tasks.checkpoint, held, {})
        assert not db.write_now(tasks.finish, held, "Succeeded", clock())
