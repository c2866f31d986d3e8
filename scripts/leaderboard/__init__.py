"""Which recipe learns the most from equal seconds: ours, and others' written anew in plain PyTorch."""
