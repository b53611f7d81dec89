"""One session: the shell around a board and its parts."""
