"""Tracking data moved between servers: files of exports, sources of MLflow, and the one intake for both."""
