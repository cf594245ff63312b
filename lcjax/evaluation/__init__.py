"""Metrics of samples, figures and reports."""
