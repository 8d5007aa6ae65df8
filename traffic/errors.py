"""Every error the traffic package raises on purpose.

    TrafficError
    ├── FlowError             exit 2   a flow is declared wrongly: names the flow and the field
    ├── MessageError          exit 2   a text, an alert or a track that cannot be sent, or is none
    ├── ConfigurationError    exit 2   a security association that protects too little, or a contradiction
    ├── SequenceExhausted     exit 4   a security association has used its last sequence number: rekey
    ├── KeyExchangeError      exit 4   a message of a key exchange is refused: altered, forged or not to the policy
    │   └── DowngradeError    exit 4   it offers less, or something else, than the policy demands
    ├── SocketError           exit 3   the kernel refused a socket or one of its options
    ├── SessionError          exit 4   a session cannot be run or not be finished
    ├── ServiceError          exit 4   a service over TCP failed: refused, cut off, too late, or with other content
    │   └── TlsError          exit 4   TLS refused: another version, group or certificate, or OpenSSL's reason
    │       └── RecordAltered exit 4   what arrived fails its authentication: it was altered on the way
    ├── CaptureError          exit 2   a capture file is missing, damaged or of an unknown kind
    ├── UsageError            exit 2   a command of `python -m traffic` is given something it cannot use
    └── AdversaryError        exit 2   the attacker refuses: unknown action, or a way out of the emulated network

A message is one line: what, where, the value, what to do next.
"""

from __future__ import annotations


class TrafficError(Exception):
    """Root of the tree; `exit_code` is what a command line may return."""

    exit_code = 1


class FlowError(TrafficError):
    """A flow is declared wrongly."""

    exit_code = 2


class MessageError(TrafficError):
    """A text, an alert or a track cannot be sent, or what was received is none."""

    exit_code = 2


class ConfigurationError(TrafficError):
    """A configuration protects too little, or contradicts itself."""

    exit_code = 2


class SequenceExhausted(TrafficError):  # noqa: N818 - the field's name for the condition (RFC 4303, 3.3.3)
    """A security association has used its last sequence number."""

    exit_code = 4


class KeyExchangeError(TrafficError):
    """A message of a key exchange is refused; the exchange goes on waiting for a good one."""

    exit_code = 4


class DowngradeError(KeyExchangeError):
    """A message of a key exchange offers something else than the policy demands."""


class SocketError(TrafficError):
    """The kernel refused a socket or one of its options."""

    exit_code = 3


class SessionError(TrafficError):
    """A session cannot be run or not be finished."""

    exit_code = 4


class ServiceError(TrafficError):
    """A service over TCP failed."""

    exit_code = 4


class TlsError(ServiceError):
    """TLS refused the peer, or what it sent."""


class RecordAltered(TlsError):  # noqa: N818 - what happened to it
    """What arrived fails its authentication."""


class CaptureError(TrafficError):
    """A capture file cannot be read or written."""

    exit_code = 2


class UsageError(TrafficError):
    """A command is given something it cannot use."""

    exit_code = 2


class AdversaryError(TrafficError):
    """The attacker refuses to act."""

    exit_code = 2
