"""What is different between two runs: lines of files, packages, members of jobs."""
