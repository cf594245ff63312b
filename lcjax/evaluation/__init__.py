"""Metrics of samples, figures, and the reports made of them."""
