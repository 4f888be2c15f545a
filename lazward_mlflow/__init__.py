"""MLflow logging that survives a tracking server which is away or slow: the client's side of docs/guides/outages.md.

MLflow loads `plugin` when it is imported (entry point group mlflow.tracking_store). Standard library only, Python 3.8 or newer, no import
of MLflow before MLflow itself is there: this runs in the environments of users.
"""
