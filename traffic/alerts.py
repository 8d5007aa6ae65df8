"""Alerts of the Common Alerting Protocol, CAP 1.2 (OASIS, 1 July 2010): built, checked, and made into pages for phones.

A phone shows text: headline, description and instruction, as pages in the 7-bit alphabet. A machine may get the whole
alert, deflated, as 8-bit pages; that no standard has, and phones would not show it.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final
from xml.etree import ElementTree

from traffic.errors import MessageError
from traffic.gsm import broadcast_octets

NAMESPACE: Final = "urn:oasis:names:tc:emergency:cap:1.2"
LARGEST_BYTES: Final = 1 << 16
"""Assumption: of an alert; real ones have 2 to 10 kB."""

_ONE, _MAYBE, _ANY, _SOME = (1, 1), (0, 1), (0, 10_000), (1, 10_000)

_CHILDREN: Final[dict[str, dict[str, tuple[int, int]]]] = {
    "alert": {
        "identifier": _ONE,
        "sender": _ONE,
        "sent": _ONE,
        "status": _ONE,
        "msgType": _ONE,
        "source": _MAYBE,
        "scope": _ONE,
        "restriction": _MAYBE,
        "addresses": _MAYBE,
        "code": _ANY,
        "note": _MAYBE,
        "references": _MAYBE,
        "incidents": _MAYBE,
        "info": _ANY,
    },
    "info": {
        "language": _MAYBE,
        "category": _SOME,
        "event": _ONE,
        "responseType": _ANY,
        "urgency": _ONE,
        "severity": _ONE,
        "certainty": _ONE,
        "audience": _MAYBE,
        "eventCode": _ANY,
        "effective": _MAYBE,
        "onset": _MAYBE,
        "expires": _MAYBE,
        "senderName": _MAYBE,
        "headline": _MAYBE,
        "description": _MAYBE,
        "instruction": _MAYBE,
        "web": _MAYBE,
        "contact": _MAYBE,
        "parameter": _ANY,
        "resource": _ANY,
        "area": _ANY,
    },
    "resource": {
        "resourceDesc": _ONE,
        "mimeType": _ONE,
        "size": _MAYBE,
        "uri": _MAYBE,
        "derefUri": _MAYBE,
        "digest": _MAYBE,
    },
    "area": {
        "areaDesc": _ONE,
        "polygon": _ANY,
        "circle": _ANY,
        "geocode": _ANY,
        "altitude": _MAYBE,
        "ceiling": _MAYBE,
    },
    "eventCode": {"valueName": _ONE, "value": _ONE},
    "parameter": {"valueName": _ONE, "value": _ONE},
    "geocode": {"valueName": _ONE, "value": _ONE},
}
"""Of each element that has children: which, in this order, and how many (the XML schema in 3.4)."""

_WORDS: Final[dict[str, frozenset[str]]] = {
    name: frozenset(words.split())
    for name, words in {
        "status": "Actual Exercise System Test Draft",
        "msgType": "Alert Update Cancel Ack Error",
        "scope": "Public Restricted Private",
        "category": "Geo Met Safety Security Rescue Fire Health Env Transport Infra CBRNE Other",
        "responseType": "Shelter Evacuate Prepare Execute Avoid Monitor Assess AllClear None",
        "urgency": "Immediate Expected Future Past Unknown",
        "severity": "Extreme Severe Moderate Minor Unknown",
        "certainty": "Observed Likely Possible Unlikely Unknown",
    }.items()
}
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[-+]\d\d:\d\d")
_PLAIN: Final = re.compile(r"[^\s,<&]+")
_PAIR: Final = r"-?\d+(\.\d+)?,-?\d+(\.\d+)?"
_PATTERNS: Final = {
    "identifier": _PLAIN,
    "sender": _PLAIN,
    "sent": _TIME,
    "effective": _TIME,
    "onset": _TIME,
    "expires": _TIME,
    "polygon": re.compile(rf"({_PAIR} ){{3,}}{_PAIR}"),
    "circle": re.compile(rf"{_PAIR} \d+(\.\d+)?"),
}


@dataclass(frozen=True)
class Alert:
    """A public alert with one block of information and one area. Times: ISO 8601 with an offset, never Z.

    `polygon`: corners as (latitude, longitude) in degrees, the first again as the last; may be empty.
    """

    identifier: str
    sender: str
    sent: str
    event: str
    headline: str
    description: str
    instruction: str
    area: str
    polygon: tuple[tuple[float, float], ...] = ()
    status: str = "Exercise"
    category: str = "Safety"
    urgency: str = "Immediate"
    severity: str = "Extreme"
    certainty: str = "Observed"
    language: str = "it-IT"


def cap_xml(alert: Alert) -> bytes:
    """The alert as XML in UTF-8; raises MessageError if it would not be valid."""
    root = ElementTree.Element("alert", {"xmlns": NAMESPACE})
    _add(root, identifier=alert.identifier, sender=alert.sender, sent=alert.sent, status=alert.status)
    _add(root, msgType="Alert", scope="Public")
    info = ElementTree.SubElement(root, "info")
    _add(info, language=alert.language, category=alert.category, event=alert.event, urgency=alert.urgency)
    _add(info, severity=alert.severity, certainty=alert.certainty, headline=alert.headline)
    _add(info, description=alert.description, instruction=alert.instruction)
    area = ElementTree.SubElement(info, "area")
    _add(area, areaDesc=alert.area)
    if alert.polygon:
        _add(area, polygon=" ".join(f"{latitude:g},{longitude:g}" for latitude, longitude in alert.polygon))
    document: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    check_cap(document)
    return document


def check_cap(document: bytes) -> None:
    """Raise MessageError, naming the element, unless it is an alert as the CAP 1.2 schema has it.

    Checked: the namespace, which elements, their order and number, code words, times, polygons and circles, and that
    identifier and sender have no space, comma, '<' or '&' (3.2.1). Digital signatures are passed over.
    """
    _check(_parse(document))


def alert_text(document: bytes) -> str:
    """What a phone shows of an alert: its first headline, description and instruction. Raises MessageError."""
    root = _parse(document)
    _check(root)
    info = root.find(f"{{{NAMESPACE}}}info")
    if info is None:
        raise MessageError("the alert has no <info>: a phone has nothing to show")
    texts = (info.findtext(f"{{{NAMESPACE}}}{name}", "") for name in ("headline", "description", "instruction"))
    text = " ".join(" ".join(part.split()) for part in texts if part)
    if not text:
        raise MessageError(
            "the alert has neither headline nor description nor instruction: a phone has nothing to show"
        )
    return text


def packed_pages(document: bytes, serial: int = 0) -> list[bytes]:
    """The whole alert, deflated (RFC 1951), as cell broadcast pages of octets; raises MessageError beyond 15."""
    check_cap(document)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return broadcast_octets(packer.compress(document) + packer.flush(), serial)


def unpacked(octets: bytes) -> bytes:
    """The alert of joined `packed_pages`; raises MessageError."""
    unpacker = zlib.decompressobj(-15)
    try:
        document = unpacker.decompress(octets, LARGEST_BYTES)
    except zlib.error as error:
        raise MessageError(f"{len(octets)} octets are no deflated alert: {error}") from None
    check_cap(document)
    return document


def _parse(document: bytes) -> ElementTree.Element:
    if len(document) > LARGEST_BYTES or b"<!DOCTYPE" in document or b"<!ENTITY" in document:
        raise MessageError(f"an alert of {len(document)} bytes is refused: too long, or with a document type")
    try:
        return ElementTree.fromstring(document)  # noqa: S314 - no entities: a document type was refused above
    except ElementTree.ParseError as error:
        raise MessageError(f"the alert is no XML: {error}") from None


def _check(root: ElementTree.Element) -> None:
    if root.tag != f"{{{NAMESPACE}}}alert":
        raise MessageError(f"the alert begins with '{root.tag}': it must be <alert> of {NAMESPACE}")
    _check_children(root, "alert")


def _check_children(element: ElementTree.Element, name: str) -> None:
    order = _CHILDREN[name]
    found = [child.tag.removeprefix(f"{{{NAMESPACE}}}") for child in element if not child.tag.endswith("}Signature")]
    for child in found:
        if child not in order:
            raise MessageError(f"the alert's <{name}> holds '{child}', which CAP 1.2 does not know there")
    for child, (least, most) in order.items():
        if not least <= found.count(child) <= most:
            raise MessageError(f"the alert's <{name}> has {found.count(child)} <{child}>, and needs {least} to {most}")
    names = list(order)
    for before, after in pairwise(found):
        if names.index(before) > names.index(after):
            raise MessageError(f"the alert's <{name}> has <{after}> behind <{before}>: the order is the schema's")
    for inner in element:
        if not inner.tag.endswith("}Signature"):
            _check_content(inner, inner.tag.removeprefix(f"{{{NAMESPACE}}}"))


def _check_content(element: ElementTree.Element, name: str) -> None:
    if name in _CHILDREN:
        _check_children(element, name)
        return
    text = element.text or ""
    if name in _WORDS and text not in _WORDS[name]:
        raise MessageError(f"the alert's <{name}> is '{text}': use one of {', '.join(sorted(_WORDS[name]))}")
    if name in _PATTERNS and not _PATTERNS[name].fullmatch(text):
        raise MessageError(f"the alert's <{name}> is '{text}', which CAP 1.2 does not allow")
    if name == "polygon" and text.split()[0] != text.split()[-1]:
        raise MessageError("the alert's <polygon> does not end where it began")


def _add(parent: ElementTree.Element, **texts: Any) -> None:
    for name, text in texts.items():
        ElementTree.SubElement(parent, name).text = str(text)
