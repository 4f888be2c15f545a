"""What MLflow keeps for the evaluation of generative models: the rules of its entities, without I/O."""
