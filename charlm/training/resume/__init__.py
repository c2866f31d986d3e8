"""Exact resume: everything that knows Lightning's counters."""
