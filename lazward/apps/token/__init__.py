"""OpenID Connect issuer and managed-identity endpoint."""
