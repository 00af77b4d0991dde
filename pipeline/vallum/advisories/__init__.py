"""Advisories by the OSV contract: read or ask for them, match them with packages, turn matches into findings.

`source.open_source` gives a Source; `Source.lookup` answers Queries; `findings.build` makes findings of the answers.
"""
