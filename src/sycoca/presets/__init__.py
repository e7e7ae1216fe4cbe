"""Complete configurations, with source, command, cost and expected result."""
