"""Data sets as arrays, and the batches drawn from them."""
