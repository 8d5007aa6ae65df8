"""testbed traffic: the traffic side alone, the same as `python -m traffic`."""

from traffic.cli import command

__all__ = ["command"]
