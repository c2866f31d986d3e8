"""Measure the speed of training and generation: `make bench`."""
