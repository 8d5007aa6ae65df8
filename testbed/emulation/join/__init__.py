"""Joining a run that plays: conversations with a process beside the player, over a Unix socket in the run directory."""
