"""What the blob data plane decides: names, conditions, ranges, leases, layouts, error codes. Pure."""
