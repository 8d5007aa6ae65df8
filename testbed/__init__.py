"""A network emulation testbed for satellite government communications: what it emulates, it measures."""

__version__ = "0.1.0"
