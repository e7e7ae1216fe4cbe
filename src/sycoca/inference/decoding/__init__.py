"""Decoding strategies: greedy, beam search and sampling, for any model of next-token logits."""
