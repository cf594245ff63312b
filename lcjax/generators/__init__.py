"""The interface to pretrained generative models."""
