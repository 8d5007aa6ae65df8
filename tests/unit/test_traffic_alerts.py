"""CAP 1.2 alerts, held against an example of the standard and its rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from topologies.services import EARTHQUAKE
from traffic.alerts import Alert, alert_text, cap_xml, check_cap, packed_pages, unpacked
from traffic.errors import MessageError
from traffic.gsm import broadcast_pages, joined_pages

AMBER = b"""<?xml version = "1.0" encoding = "UTF-8"?>
<alert xmlns = "urn:oasis:names:tc:emergency:cap:1.2">
 <identifier>KAR0-0306112239-SW</identifier>
 <sender>KARO@CLETS.DOJ.CA.GOV</sender>
 <sent>2003-06-11T22:39:00-07:00</sent>
 <status>Actual</status>
 <msgType>Alert</msgType>
 <source>SW</source>
 <scope>Public</scope>
 <info>
  <language>en-US</language>
  <category>Rescue</category>
  <event>Child Abduction</event>
  <urgency>Immediate</urgency>
  <severity>Severe</severity>
  <certainty>Likely</certainty>
  <eventCode><valueName>SAME</valueName><value>CAE</value></eventCode>
  <senderName>Los Angeles Police Dept - LAPD</senderName>
  <headline>Amber Alert in Los Angeles County</headline>
  <description>DATE/TIME: 06/11/03, 1915 HRS.  VICTIM(S): KHAYRI DOE JR.</description>
  <contact>DET. SMITH, 77TH DIV, LOS ANGELES POLICE DEPT-LAPD AT 213 485-2389</contact>
  <area>
   <areaDesc>Los Angeles County</areaDesc>
   <geocode><valueName>SAME</valueName><value>006037</value></geocode>
  </area>
 </info>
</alert>
"""
"""Of CAP 1.2, appendix A.4, its English part."""


def test_an_example_of_the_standard_is_valid() -> None:
    check_cap(AMBER)
    assert alert_text(AMBER) == (
        "Amber Alert in Los Angeles County DATE/TIME: 06/11/03, 1915 HRS. VICTIM(S): KHAYRI DOE JR."
    )


def test_a_signature_is_passed_over() -> None:
    signature = b'<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"><SignedInfo/></Signature></alert>'
    check_cap(AMBER.replace(b"</alert>", signature))


def test_our_own_alert_is_valid_and_comes_to_phones() -> None:
    document = cap_xml(EARTHQUAKE)
    check_cap(document)
    text = alert_text(document)
    assert text.startswith("IT-alert ESERCITAZIONE")
    pages = broadcast_pages(text)
    assert 1 < len(pages) <= 15
    assert joined_pages(reversed(pages)) == text


def test_a_whole_alert_fits_into_pages_when_deflated() -> None:
    document = cap_xml(EARTHQUAKE)
    pages = packed_pages(document)
    assert len(pages) < len(document) / 82
    octets = joined_pages(pages)
    assert isinstance(octets, bytes)
    assert unpacked(octets) == document
    with pytest.raises(MessageError, match="4 octets are no deflated alert"):
        unpacked(b"\xff\xff\xff\xff")


def without(element: str) -> bytes:
    start = AMBER.index(f"<{element}>".encode())
    end = AMBER.index(f"</{element}>".encode()) + len(element) + 3
    return AMBER[:start] + AMBER[end:]


@pytest.mark.parametrize(
    "element",
    "identifier sender sent status msgType scope category event urgency severity certainty areaDesc valueName".split(),
)
def test_what_must_be_there_is_missed(element: str) -> None:
    with pytest.raises(MessageError, match=f"has 0 <{element}>, and needs 1 to"):
        check_cap(without(element))


@pytest.mark.parametrize("element", ["source", "language", "eventCode", "senderName", "headline", "contact", "area"])
def test_what_may_be_left_out_may(element: str) -> None:
    check_cap(without(element))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"cap:1.2", b"cap:1.1", "must be <alert> of urn:oasis:names:tc:emergency:cap:1.2"),
        (b"<status>Actual", b"<status>Real", "<status> is 'Real': use one of Actual, Draft, Exercise, System, Test"),
        (b"<urgency>Immediate", b"<urgency>Now", "<urgency> is 'Now'"),
        (b"22:39:00-07:00", b"22:39:00Z", "<sent> is '2003-06-11T22:39:00Z', which CAP 1.2 does not allow"),
        (b"KAR0-0306112239-SW", b"a b", "<identifier> is 'a b'"),
        (b"<source>SW</source>", b"<colour>red</colour>", "<alert> holds 'colour', which CAP 1.2 does not know there"),
        (b"<status>Actual</status>", b"<status>Test</status><status>Test</status>", "has 2 <status>"),
        (
            b"<event>Child Abduction</event>\n  <urgency>Immediate</urgency>",
            b"<urgency>Immediate</urgency><event>x</event>",
            "<info> has <event> behind <urgency>: the order is the schema's",
        ),
        (b"<geocode>", b"<circle>1</circle><geocode>", "<circle> is '1'"),
        (b"<geocode>", b"<polygon>1,1 1,2 2,2 3,3</polygon><geocode>", "<polygon> does not end where it began"),
        (b"</alert>", b"", "the alert is no XML"),
        (b"<alert", b"<!DOCTYPE alert><alert", "too long, or with a document type"),
    ],
)
def test_what_is_wrong_is_named(old: bytes, new: bytes, message: str) -> None:
    assert old in AMBER
    with pytest.raises(MessageError, match=message):
        check_cap(AMBER.replace(old, new, 1))


def test_an_alert_that_says_nothing_is_refused() -> None:
    bare = replace(EARTHQUAKE, headline="", description="", instruction="")
    with pytest.raises(MessageError, match="a phone has nothing to show"):
        alert_text(cap_xml(bare))
    start, end = AMBER.index(b"<info>"), AMBER.index(b"</info>") + 7
    with pytest.raises(MessageError, match="has no <info>"):
        alert_text(AMBER[:start] + AMBER[end:])


def test_nothing_invalid_is_built() -> None:
    with pytest.raises(MessageError, match="<severity> is 'Bad'"):
        cap_xml(Alert("1", "a", "2026-06-14T08:00:00+02:00", "e", "h", "d", "i", "area", severity="Bad"))
