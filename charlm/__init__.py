"""Character-level recurrent language models with stateful truncated BPTT."""
