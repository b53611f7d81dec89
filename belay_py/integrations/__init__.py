"""Adapters to other libraries: each optional, each imported by who uses it, and by nobody else."""
