"""Parts of the picture of an explanation: panels in sections, and fonts for captions in any script."""
