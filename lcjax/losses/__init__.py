"""Pure functions of arrays, one value per example; who averages is said."""
