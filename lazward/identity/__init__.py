"""Keys, tokens, principals, signatures. Imports domain and contract."""
