"""Run history, artifacts, data and model resolution APIs that the SDK calls beside ARM."""
