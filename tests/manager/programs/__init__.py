"""Programs that end in one way or another, and that the tests start as processes of their own."""
