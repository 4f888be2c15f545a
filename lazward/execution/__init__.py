"""Environments and processes on a machine. Imports domain and contract."""
