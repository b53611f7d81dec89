"""The pytest plugin, in pytests of their own."""
