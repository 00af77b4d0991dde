"""The kind `tag`: a git tag on the judged commit, or an image tag onto a digest.

Seen to work with git 2, podman 4.3.1, and skopeo 1.9.3 against docker-registry 2.8.2; **unverified** with docker.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from vallum.errors import Inconclusive, UserError
from vallum.promote.job import DIGEST, PINNED, Job
from vallum.promotions import Promotion, PromotionTag

_NAME = re.compile(r"[A-Za-z0-9_{][A-Za-z0-9_./{}+-]*")
_IMAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/{}-]*")
GIT = ("git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")


def _settings(settings: Promotion) -> PromotionTag:
    if settings.tag is None:
        raise UserError('promotion.kind is "tag", and there is no [promotion.tag]', "see docs/promotion.md")
    return settings.tag


def check(settings: Promotion, root: Path) -> None:
    """See vallum.promote.job.Kind."""
    del root
    tag = _settings(settings)
    pattern = _NAME if tag.what == "git" else _IMAGE_NAME
    if not pattern.fullmatch(tag.name) or ".." in tag.name:
        raise UserError(f"promotion.tag.name: {tag.name!r} cannot be a tag", 'such as "release-{commit}"')
    if tag.what == "image" and not tag.source:
        raise UserError("promotion.tag.source is empty", "name the image that is promoted, by its digest")
    if tag.what == "git" and tag.remote.startswith("-"):
        raise UserError(f"promotion.tag.remote: {tag.remote!r} is no remote", 'such as "origin"')


def paths(settings: Promotion) -> list[str]:
    """See vallum.promote.job.Kind."""
    del settings
    return []


def nothing(previous: Mapping[str, str]) -> bool:
    """See vallum.promote.job.Kind."""
    del previous
    return False


def before(job: Job) -> dict[str, str]:
    """Where the tag points now."""
    tag = _settings(job.settings)
    name = job.fill(tag.name, "tag.name")
    if tag.what == "image":
        source = job.fill(tag.source, "tag.source")
        bare = tag.program != "skopeo" and DIGEST.fullmatch(source)
        if not (bare or PINNED.fullmatch(source)):
            raise UserError(f"promotion.tag.source: {source} is not named by its digest", "end it in @sha256:…")
        digest = source.rpartition("@")[2]
        known = {digest} if tag.program == "skopeo" else {digest, _local(job, source)}
        if job.unscanned(*known):
            raise Inconclusive(f"the image {source} is none that this verdict's checks looked at (unscanned-images)")
        if tag.program != "skopeo":
            return {"name": name, "source": source, "digest": _local(job, name, missing=True)}
        return {"name": name, "source": source, "digest": _remote(job, name)}
    here = _git(job, "rev-parse", "--verify", "--quiet", f"refs/tags/{name}^{{commit}}")
    there = ""
    if tag.remote:
        said = job.steps.run("look at the remote", [*GIT, "ls-remote", "--tags", tag.remote, f"refs/tags/{name}*"]).text
        found = {ref: commit for commit, _, ref in (line.partition("\t") for line in said.splitlines())}
        there = found.get(f"refs/tags/{name}^{{}}") or found.get(f"refs/tags/{name}", "")
    for place, commit in (("here", here), (f"at {tag.remote}", there)):
        if commit not in {"", job.commit}:
            raise Inconclusive(f"the tag {name} is {place} on {commit[:12]} already, and a tag is never moved")
    return {"name": name, "here": here, "there": there}


def promote(job: Job, previous: Mapping[str, str]) -> None:
    """See vallum.promote.job.Kind."""
    tag = _settings(job.settings)
    name = previous["name"]
    if tag.what == "image":
        _point(job, tag, previous["source"], name)
        return
    if not previous["here"]:
        message = ["--annotate", "--message", job.fill(tag.message, "tag.message")] if tag.message else []
        job.steps.run("tag", [*GIT, "tag", "--no-sign", *message, "--", name, job.commit])
    if tag.remote and not previous["there"]:
        job.steps.run("push", [*GIT, "push", "--no-verify", tag.remote, f"refs/tags/{name}:refs/tags/{name}"])


def rollback(job: Job, previous: Mapping[str, str]) -> None:
    """Take away the tag that was not there before, or point it to where it pointed."""
    tag = _settings(job.settings)
    name = previous["name"]
    if tag.what == "image":
        if previous["digest"]:
            _point(job, tag, previous["digest"], name)
        elif tag.program == "skopeo":
            raise Inconclusive(f"{name} was not there before, and a tag alone cannot be deleted from a registry")
        elif _local(job, name, missing=True):
            # podman's `untag` with one name alone takes all names from the image
            untag = ["podman", "untag", name, name] if tag.program == "podman" else ["docker", "rmi", name]
            job.steps.run("untag", untag)
        return
    if tag.remote and not previous["there"]:
        said = job.steps.run("look at the remote", [*GIT, "ls-remote", "--tags", tag.remote, f"refs/tags/{name}"]).text
        if said:
            job.steps.run("delete at the remote", [*GIT, "push", "--no-verify", tag.remote, f":refs/tags/{name}"])
    if not previous["here"] and _git(job, "rev-parse", "--verify", "--quiet", f"refs/tags/{name}"):
        job.steps.run("delete the tag", [*GIT, "tag", "--delete", "--", name])


def _git(job: Job, *arguments: str) -> str:
    """What git prints; empty where it ends badly."""
    said = job.steps.try_("git", [*GIT, *arguments], 60, record=False)
    return said.text if said.ok else ""


def _point(job: Job, tag: PromotionTag, source: str, name: str) -> None:
    if tag.program == "skopeo":
        if DIGEST.fullmatch(source):
            source = f"{_repository(name)}@{source}"
        argv = ["skopeo", "copy", "--all", "--preserve-digests", f"docker://{source}", f"docker://{name}"]
    else:
        argv = [tag.program, "tag", source, name]
    job.steps.run("tag the image", argv)


def _local(job: Job, reference: str, *, missing: bool = False) -> str:
    """The id of an image in the engine's store; with `missing`, empty where it has none."""
    program = _settings(job.settings).program
    said = job.steps.try_("inspect", [program, "image", "inspect", "--format", "{{.Id}}", reference], 60)
    found = said.text if said.text.startswith("sha256:") or not said.text else f"sha256:{said.text}"
    if said.ok and DIGEST.fullmatch(found):
        return found
    if missing and any(words in said.last.lower() for words in ("no such image", "image not known")):
        return ""
    raise Inconclusive(f"{program} has no image {reference}: {said.last}")


def _remote(job: Job, name: str) -> str:
    """The digest that a registry's tag points to; empty where the tag is not there."""
    said = job.steps.try_("inspect", ["skopeo", "inspect", "--format", "{{.Digest}}", f"docker://{name}"], 120)
    if said.ok and DIGEST.fullmatch(said.text):
        return said.text
    if "manifest unknown" in said.last.lower() or "name unknown" in said.last.lower():
        return ""
    raise Inconclusive(f"skopeo cannot tell where {name} points: {said.last}")


def _repository(name: str) -> str:
    """A reference without its tag."""
    head, _, last = name.rpartition("/")
    return f"{head}/{last.partition(':')[0]}" if head else last.partition(":")[0]
