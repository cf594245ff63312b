"""Pure functions of arrays, one value per example; the caller averages."""
