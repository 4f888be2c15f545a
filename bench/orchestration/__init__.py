"""The job engine against its peers: see __main__.py."""
