"""Blobs: metadata rows in the database, bytes in extents (obstore)."""
