"""The commands that need a checkpoint and nothing else: one a file, its signature its options."""
