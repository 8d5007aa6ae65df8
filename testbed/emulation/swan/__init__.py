"""IPsec by strongSwan's charon in the hosts: a real IKEv2 peer in place of the traffic package's own keys."""
