"""Which characters form a batch, held-out reading, and the data module."""
