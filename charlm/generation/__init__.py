"""From logits to text: sampling, the single step, contexts, one text or many, beam search."""
