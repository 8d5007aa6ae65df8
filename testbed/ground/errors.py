"""Every error the testbed raises on purpose.

    TestbedError
    ├── InputError            exit 2   bad usage, a bad file, a bad parameter
    │   ├── CatalogueError             an orbital-element file: names file and line
    │   ├── ScenarioError              a topology or one of its parameters
    │   └── PlanError                  a plan that cannot be made, read or played
    ├── MachineError          exit 3   this machine cannot do it; the message holds the mend
    ├── KernelError           exit 3   the kernel refused a message; names the object and the errno
    └── RunError              exit 4   a run broke off or is not valid

A message is one line: what, where, the value, what to do next.
"""

from __future__ import annotations


class TestbedError(Exception):
    """Root of the tree; `exit_code` is what the command line returns."""

    __test__ = False  # pytest: not a test class
    exit_code = 1


class InputError(TestbedError):
    """Bad usage or bad input."""

    exit_code = 2


class CatalogueError(InputError):
    """An orbital-element file is malformed, empty or missing."""


class ScenarioError(InputError):
    """A topology is unknown, or one of its parameters is wrong."""


class PlanError(InputError):
    """A plan cannot be made, read or played."""


class MachineError(TestbedError):
    """This machine lacks something; the message says what to install or run."""

    exit_code = 3


class KernelError(MachineError):
    """The kernel refused a request."""


class RunError(TestbedError):
    """A run broke off, or is not valid."""

    exit_code = 4
