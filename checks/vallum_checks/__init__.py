"""The checks: one file each, one line each in CHECKS. No scanning of folders: an empty registry must be impossible."""

from vallum_checks.registry import CHECKS

__all__ = ["CHECKS"]
