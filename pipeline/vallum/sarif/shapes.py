"""The objects of SARIF 2.1.0 (OASIS standard; the sections are named), as far as vallum reads them in anybody's report."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

Number = Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)]


class Object(msgspec.Struct, frozen=True, rename="camel", kw_only=True, gc=False):
    """An object of the standard, as far as we read it; tools add keys of later versions, which are let through."""


class Message(Object, frozen=True):
    """message (3.11)."""

    text: str = ""
    markdown: str = ""
    id: str = ""
    arguments: tuple[str, ...] = ()


class Artifact(Object, frozen=True):
    """artifactLocation (3.4)."""

    uri: str = ""
    uri_base_id: str = ""
    index: Number = -1


class Region(Object, frozen=True):
    """region (3.30)."""

    start_line: Number = 0
    start_column: Number = 0
    end_line: Number = 0


class Physical(Object, frozen=True):
    """physicalLocation (3.29)."""

    artifact_location: Artifact = Artifact()
    region: Region = Region()


class Location(Object, frozen=True):
    """location (3.28)."""

    physical_location: Physical | None = None


class Suppression(Object, frozen=True):
    """suppression (3.35)."""

    kind: str
    status: str = "accepted"
    justification: str = ""


class Reference(Object, frozen=True):
    """reportingDescriptorReference (3.52)."""

    id: str = ""
    index: Number = -1
    tool_component: dict[str, Any] = {}


class Result(Object, frozen=True):
    """result (3.27)."""

    message: Message
    rule_id: str = ""
    rule_index: Number = -1
    rule: Reference = Reference()
    kind: str = "fail"
    level: str = ""
    locations: tuple[Location, ...] = ()
    suppressions: tuple[Suppression, ...] | None = None
    baseline_state: str = ""
    properties: dict[str, Any] = {}


class Configuration(Object, frozen=True):
    """reportingConfiguration (3.50)."""

    level: str = "warning"


class Rule(Object, frozen=True):
    """reportingDescriptor (3.49)."""

    id: str
    name: str = ""
    short_description: Message = Message()
    full_description: Message = Message()
    help: Message = Message()
    help_uri: str = ""
    message_strings: dict[str, Message] = {}
    default_configuration: Configuration = Configuration()
    properties: dict[str, Any] = {}


class Component(Object, frozen=True):
    """toolComponent (3.19)."""

    name: str
    version: str = ""
    semantic_version: str = ""
    rules: tuple[Rule, ...] = ()


class Tool(Object, frozen=True):
    """tool (3.18)."""

    driver: Component
    extensions: tuple[Component, ...] = ()


class Notification(Object, frozen=True):
    """notification (3.58)."""

    message: Message
    level: str = "warning"
    locations: tuple[Location, ...] = ()


class Invocation(Object, frozen=True):
    """invocation (3.20)."""

    execution_successful: bool
    tool_execution_notifications: tuple[Notification, ...] = ()
    tool_configuration_notifications: tuple[Notification, ...] = ()


class File(Object, frozen=True):
    """artifact (3.24)."""

    location: Artifact = Artifact()
    roles: tuple[str, ...] = ()


class Run(Object, frozen=True):
    """run (3.14)."""

    tool: Tool
    results: tuple[Result, ...] | None = None
    invocations: tuple[Invocation, ...] = ()
    artifacts: tuple[File, ...] = ()
    original_uri_base_ids: dict[str, Artifact] = {}


class Log(Object, frozen=True):
    """sarifLog (3.13)."""

    version: str
    runs: tuple[Run, ...]
