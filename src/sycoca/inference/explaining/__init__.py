"""Parts of an explanation: words and phrases, maps of encoded pairs, JSON."""
