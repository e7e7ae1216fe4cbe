"""Weights of other projects: safe reading, tables of names, and what their files leave unsaid."""
