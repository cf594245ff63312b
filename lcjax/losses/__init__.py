"""Loss terms as pure functions of arrays; the caller averages over rows."""
