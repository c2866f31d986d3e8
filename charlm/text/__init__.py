"""Texts: files, normalisation, vocabulary, corpora and their download, encoding (no torch)."""
