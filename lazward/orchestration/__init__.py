"""Durable steps: joins decisions (domain) with effects (storage, execution, identity)."""
