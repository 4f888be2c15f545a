"""The runner of parallel jobs: `python <this folder> ARGUMENTS` in the job's environment (Python 3.8 or newer), in its code folder.

A driver splits the input into mini-batches and hands them, one at a time, to worker processes over socket pairs; workers call the user's
init(), run() and shutdown(). Standard library only; pandas, pyarrow, yaml and mltable are imported when the data need them.
"""
