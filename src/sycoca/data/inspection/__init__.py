"""Checks and statistics of data sets, for ``sycoca data check`` and ``stats``."""
