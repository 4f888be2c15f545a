from lazward.domain.ports import Capacity
from lazward.domain.queue.order import NEAR, Ask, Job, Limits
from lazward.domain.queue.reasons import GIB, reasons

MACHINE = Capacity(4, 8 * GIB, 1)


def told(queue: list[Job], held: list[Job], limits: Limits | None = None) -> dict[str, str]:
    return reasons(queue, held, MACHINE, limits or Limits())


def test_what_it_asks_for_what_is_free_and_its_place():
    assert told([Job("b", Ask(2, 4 * GIB, 1))], [Job("a", Ask(3, 6 * GIB, 1))]) == {
        "b": "Waiting for 2 of 4 cores (1 free), 4.0 GiB of memory (2.0 free), 1 GPUs (0 free); place 1 in the queue.",
    }


def test_what_is_free_is_kept_for_the_head():
    assert told([Job("big", Ask(4)), Job("small", Ask(1), sequence=1)], [Job("a", Ask(2))])["small"] == (
        "Waiting for 1 of 4 cores (2 free); place 2 in the queue; what is free is kept for those before it."
    )


def test_a_limit_is_named_with_what_is_used_of_it():
    queue = [Job("a1", Ask(2), workspace="w", user="u"), Job("b", Ask(1), workspace="x", user="u", sequence=1)]
    held = [Job("a0", Ask(1), workspace="w", user="u")]
    assert told(queue, held, Limits(workspace_jobs=1)) == {"a1": "Waiting for the limit of this workspace (max_workspace_jobs = 1): 1 run; place 1 of those that wait for it."}
    assert told(queue, held, Limits(workspace_cores=2))["a1"] == (
        "Waiting for the limit of this workspace (max_workspace_cores = 2): 1 are taken, it asks for 2; place 1 of those that wait for it."
    )
    assert told(queue, held, Limits(user_jobs=1))["a1"].startswith("Waiting for the limit of its user in this workspace (max_user_jobs = 1): 1 run")
    assert "(max_user_cores = 2): 1 are taken" in told(queue, held, Limits(user_cores=2))["a1"]


def test_the_place_is_among_those_that_wait_for_the_same():
    queue = [*(Job(f"w{n}", Ask(1), workspace="w", sequence=n) for n in range(3)), *(Job(f"x{n}", Ask(4), workspace="x", sequence=3 + n) for n in range(2))]
    found = told(queue, [Job("a", Ask(1), workspace="w")], Limits(workspace_jobs=1))
    assert "place 3 of those" in found["w2"]
    assert "place 2 in the queue" in found["x1"]


def test_far_back_it_is_coarse_and_says_nothing_that_changes_often():
    queue = [Job(f"j{n:03}", Ask(4), sequence=n) for n in range(400)]
    before, after = told(queue, [Job("a", Ask(4))]), told(queue[1:], [Job("a", Ask(4))])
    assert before["j399"] == after["j399"] == "Waiting for 4 of 4 cores; at least 300 jobs are before it."
    assert sum(before[key] != reason for key, reason in after.items()) < NEAR + 30


def test_what_was_taken_beyond_what_there_is_is_not_free():
    assert "(0 free)" in told([Job("b", Ask(1))], [Job("a", Ask(3)), Job("c", Ask(3))])["b"]
