"""The queue of jobs: who is before whom, who may start, and why the others wait."""
