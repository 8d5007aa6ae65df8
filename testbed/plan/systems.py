"""Which of several systems serves a terminal: its cell, the operator's satellites, or a backup's.

A cell comes first while it stands, then the satellites, unless the operator denies them or jamming takes too much, then
the backup. Who changes from one to another is without service for `Access.switch_ns`.
"""

from __future__ import annotations

from math import inf
from typing import Final

from testbed.orbits.catalogue import Catalogue
from testbed.orbits.sites import Site
from testbed.orbits.tracks import Track
from testbed.plan.denial import LET_IN
from testbed.plan.scenario import Scenario

CELL: Final = "the cell"
SATELLITES: Final = "the satellites"
BACKUP: Final = "the backup"


class Systems:
    """Of a scenario's terminals, by number; times are within the plan, ns.

    others: which satellites are the backup's, (n_satellites,). edges: when terminals are to be assigned anew, and why.
    """

    def __init__(self, scenario: Scenario, catalogue: Catalogue, start_ns: int) -> None:
        self._scenario = scenario
        self._start_ns = start_ns
        backup = scenario.backup
        self.others = catalogue.mean_altitude_m >= (inf if backup is None else backup.from_m)
        self._hosts = () if backup is None else backup.hosts
        self._on = [""] * len(scenario.terminals)
        late_ns = scenario.access.detection_ns
        self.edges: dict[int, dict[int, str]] = {}
        for number, user in enumerate(scenario.terminals):
            for one in scenario.denied:
                if one.end_ns is not None and one.reaches(user.site, start_ns):
                    self.edges.setdefault(one.end_ns + late_ns, {})[number] = LET_IN
            for jam in scenario.jams if self.has_backup(number) else ():
                if self._leaves(number, jam.loss) and jam.reaches(self._place(number)):
                    self.edges.setdefault(jam.begin_ns + late_ns, {})[number] = "jamming noticed"
                    if jam.end_ns is not None:
                        self.edges.setdefault(jam.end_ns + late_ns, {})[number] = "jamming over"

    def has_backup(self, terminal: int) -> bool:
        """Has it an antenna for the backup's satellites?"""
        return self._scenario.terminals[terminal].host in self._hosts

    def cell(self, terminal: int) -> int:
        """The index of its base station among the gateways; -1 without one."""
        name = self._scenario.terminals[terminal].cell
        return self._scenario.cells[name][0] if name else -1

    def denied(self, terminal: int, time_ns: int) -> str:
        """Why the operator's satellites do not serve it at that time; '' if they do."""
        late_ns = self._scenario.access.detection_ns
        for one in self._scenario.denied:
            until_ns = inf if one.end_ns is None else one.end_ns + late_ns
            if one.begin_ns <= time_ns < until_ns and one.reaches(
                self._scenario.terminals[terminal].site, self._start_ns
            ):
                return one.cause
        return ""

    def jammed(self, terminal: int, time_ns: int) -> bool:
        """Would it rather be served by the backup, as far as it has noticed?"""
        late_ns = self._scenario.access.detection_ns
        return any(
            jam.begin_ns + late_ns <= time_ns < (inf if jam.end_ns is None else jam.end_ns + late_ns)
            and self._leaves(terminal, jam.loss)
            and jam.reaches(self._place(terminal))
            for jam in self._scenario.jams
        )

    def on(self, terminal: int) -> str:
        """The system that it was last given; '' before the first."""
        return self._on[terminal]

    def changes(self, terminal: int, system: str) -> bool:
        """Note the system that it is given: was it another before?"""
        before, self._on[terminal] = self._on[terminal], system
        return before not in ("", system)

    def _leaves(self, terminal: int, loss: float) -> bool:
        backup = self._scenario.backup
        return backup is not None and self.has_backup(terminal) and loss >= backup.leaves_at

    def _place(self, terminal: int) -> Site:
        """Where it is at the plan's start, by which jams are laid over its links."""
        place = self._scenario.terminals[terminal].site
        return place.site_at(self._start_ns) if isinstance(place, Track) else place
