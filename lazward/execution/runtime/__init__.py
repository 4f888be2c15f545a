"""What runs beside user code, in the environment of the user: standard library only unless a file says otherwise."""
