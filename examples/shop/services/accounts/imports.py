"""Reading lists of users that partners send. DELIBERATELY WEAK: see ../../README.md."""
import base64
import socket
import xml.sax
from io import BytesIO
from itertools import cycle

import yaml

XOR_KEY = b"shop"


def names_from_yaml(document: str) -> list[str]:
    people = yaml.load(document, Loader=yaml.UnsafeLoader)  # WEAKNESS: accounts-yaml-load
    return [str(person.get("name", "")) if isinstance(person, dict) else str(person) for person in people or []]


class Names(xml.sax.handler.ContentHandler):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = False

    def startElement(self, name, attrs) -> None:
        self.inside = name == "name"
        if self.inside:
            self.found.append("")

    def characters(self, content: str) -> None:
        if self.inside:
            self.found[-1] += content

    def endElement(self, name) -> None:
        self.inside = False


def names_from_xml(document: bytes) -> list[str]:
    socket.setdefaulttimeout(3)
    names = Names()
    parser = xml.sax.make_parser()  # WEAKNESS: accounts-xml-parser
    parser.setFeature(xml.sax.handler.feature_external_ges, True)  # WEAKNESS: accounts-xxe
    parser.setContentHandler(names)
    parser.parse(BytesIO(document))
    return names.found


def remember_token(user: str) -> str:
    mixed = bytes(a ^ b for a, b in zip(user.encode(), cycle(XOR_KEY)))  # WEAKNESS: accounts-home-made-crypto
    return base64.urlsafe_b64encode(mixed).decode()
