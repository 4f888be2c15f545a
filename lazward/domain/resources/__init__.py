"""One file per family of ARM resource types; importing this package fills the REGISTRY."""
