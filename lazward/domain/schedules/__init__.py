"""When a schedule runs: its trigger, read from the wire, and pure functions over it."""
