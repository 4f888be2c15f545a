"""Loads a model and scores with it: load_model.py URI."""

import sys

import mlflow

model = mlflow.sklearn.load_model(sys.argv[1])
assert list(model.predict([[0.0], [1.0]])) == [0, 1]
