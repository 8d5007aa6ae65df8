"""`python -m traffic` is the traffic side on its own: sender, receiver, reflector, judge."""

from traffic.cli import main

main()
