"""The dashboard: a page on loopback that shows a run's plan, what is measured of it, and lets a person disturb it."""
