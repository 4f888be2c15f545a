"""Tracking servers side by side; __main__.py says what is measured."""
