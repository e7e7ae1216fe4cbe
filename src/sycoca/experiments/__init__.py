"""Complete experiments that one command runs."""
