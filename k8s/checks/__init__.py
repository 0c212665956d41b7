"""The parts of check.py, one file for each topic."""
