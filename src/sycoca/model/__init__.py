"""The four components of the paper, their blocks, and attentive masking."""
