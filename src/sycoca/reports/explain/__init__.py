"""The picture of an explanation: its panels in sections, fonts for captions in any script, and the drawing."""
