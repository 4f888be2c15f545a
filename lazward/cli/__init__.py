"""The lazward command: one file per noun."""
