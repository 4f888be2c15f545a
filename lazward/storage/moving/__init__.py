"""Tracking data read and written as records that move between servers (domain/tracking/moved.py)."""
