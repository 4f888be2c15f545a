"""HTTP surfaces: every request comes in through chain.py."""
