"""Azure Resource Manager: the generic engine and the routes around it."""
