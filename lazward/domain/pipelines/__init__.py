"""Pipelines without the world: bindings, the graph of nodes, typed inputs, and the machine that decides what runs next."""
