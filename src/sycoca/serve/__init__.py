"""Answer over HTTP: the interface, its limits and the web page."""
