"""The four components of the paper, their transformer blocks, and attentive masking."""
