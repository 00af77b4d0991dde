"""Reading lists of users that partners send: plain data only."""
import yaml
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring


class BadDocument(ValueError):
    """The document is not a list of users."""


def names_from_yaml(document: str) -> list[str]:
    try:
        people = yaml.safe_load(document)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadDocument from error
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise BadDocument
    return [str(person.get("name", "")) for person in people]


def names_from_xml(document: bytes) -> list[str]:
    try:
        root = fromstring(document, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise BadDocument from error
    return [element.text or "" for element in root.iter("name")]
