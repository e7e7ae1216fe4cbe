"""The paths of the interface: their forms, answers and descriptions."""
