"""The model server of a deployment. It runs in the deployment's own environment (Python 3.8 or newer) as
`python <this folder>`, so it imports only the standard library and `lazward.domain.serving.SERVING_REQUIREMENTS`."""
