"""The hand-made part of the class list: see README.md beside this file for its provenance."""
