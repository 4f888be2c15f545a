"""What the wire says: ids, errors, envelopes, structs. Imports msgspec only."""
