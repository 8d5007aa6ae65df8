"""Routing by FRR's daemons in the nodes (OSPF, both families), in place of a plan's own routes."""
