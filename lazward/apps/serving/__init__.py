"""Inference gateway: configuration of Envoy and the key check behind it."""
