"""The processes of one run: how they find each other, and how they notice that one of them was lost."""
