"""Database and blob store. One of the three layers that do I/O; imports domain and contract."""
