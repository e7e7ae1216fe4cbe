"""What ``sycoca data check`` and ``stats`` look at."""
