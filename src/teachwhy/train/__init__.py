"""Supervised training. Its files are imported one by one where they are used, since `supervised` needs torch."""
