"""The three objectives: contrastive (ITC), captioning (IC), masked image (TG-MIM)."""
