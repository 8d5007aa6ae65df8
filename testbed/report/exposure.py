"""What listeners on the way could read of the flows: the matrix of `exposure.json`, judged and put into rows."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

_NAMED: Final = 3  # flows that a reason names
_LEVELS: Final = ("payload", "metadata", "nothing")


def findings(exposure: dict[str, Any]) -> tuple[list[str], str, str]:
    """(a reason for each node that read what it was not to, the check's detail, why it cannot be judged or '')."""
    leaks = []
    for row in exposure["nodes"]:
        names = [cell["flow"] for cell in row["flows"] if cell["level"] == "payload"]
        if names and not row["may_read"]:
            packets = sum(cell["packets"] for cell in row["flows"] if cell["level"] == "payload")
            told = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
            leaks.append(
                f"exposure: PLAINTEXT_LEAK at {row['node']} ({row['operated_by']}): {packets:,} packets of {told} in "
                "the clear"
            )
    for node, packets in exposure["inner_addresses"].items():
        leaks.append(f"exposure: PLAINTEXT_LEAK at {node}: {packets:,} packets bore an address from inside ESP")
    return leaks, _detail(exposure), _unseen(exposure)


def _detail(exposure: dict[str, Any]) -> str:
    frames = sum(row["frames"] for row in exposure["nodes"])
    reading = Counter[str]()
    where: dict[str, list[str]] = {}
    for row in exposure["nodes"]:
        if any(cell["level"] == "payload" for cell in row["flows"]):
            reading[row["operated_by"]] += 1
            where.setdefault(row["operated_by"], []).append(row["node"])
    told = "; ".join(f"{who} reads payload at {', '.join(nodes)}" for who, nodes in where.items())
    seen = f"{frames:,} frames looked at, at {len(exposure['nodes'])} nodes"
    for node, counts in exposure["tunnels_refused"].items():
        seen += f"; the operator's tunnel at {node} refused " + ", ".join(f"{n:,} × {why}" for why, n in counts.items())
    return f"encryption={exposure['encryption']}: {told or 'nobody on the way reads payload'}; {seen}"


def _unseen(exposure: dict[str, Any]) -> str:
    """Frames that the taps lost: what was not looked at may have been a leak."""
    lost = {row["node"]: row["lost"] for row in exposure["nodes"] if row["lost"]}
    if not lost:
        return ""
    worst = max(lost, key=lost.__getitem__)
    return f"taps lost {sum(lost.values()):,} frames unread, most at {worst}"


def rows(exposure: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per node and level: how many of the flows are read there, in how many packets."""
    found = []
    for row in exposure["nodes"]:
        for level in _LEVELS:
            cells = [cell for cell in row["flows"] if cell["level"] == level]
            if cells and (level != "nothing" or len(cells) == len(row["flows"])):
                found.append(
                    {
                        "node": row["node"],
                        "operated_by": row["operated_by"],
                        "level": level,
                        "leak": level == "payload" and not row["may_read"],
                        "flows": len(cells),
                        "of": len(row["flows"]),
                        "packets": sum(cell["packets"] for cell in cells),
                    }
                )
    return found


def matrix(exposure: dict[str, Any] | None) -> dict[str, Any] | None:
    """For the page: the flows' names, and a row per node with a cell for each; None if there is nothing to show."""
    if not exposure or not exposure["nodes"]:
        return None
    names = [cell["flow"] for cell in exposure["nodes"][0]["flows"]]
    return {"flows": names, "rows": [{**row, "flows": [_cell(row, cell) for cell in row["flows"]]} for row in
                                     exposure["nodes"]]}  # fmt: skip


def _cell(row: dict[str, Any], cell: dict[str, Any]) -> dict[str, Any]:
    readable = cell["level"] == "payload"
    title = f"{cell['packets']:,} packets"
    if "addresses" in cell:
        title += f", {cell['bytes'][0]:,} to {cell['bytes'][1]:,} bytes, {'; '.join(cell['addresses'])}"
    state = (
        ("invalid" if row["may_read"] else "fail") if readable else "pass" if cell["level"] == "metadata" else "none"
    )
    return {**cell, "state": state, "title": title}
