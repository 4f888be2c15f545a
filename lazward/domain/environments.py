"""From an environment document to the Python packages that it means."""

from __future__ import annotations

from lazward.domain.build_context import read_build_context
from lazward.domain.conda_file import read_conda_file
from lazward.domain.context_files import ContextFiles
from lazward.domain.images import image_packages
from lazward.domain.package_set import INVALID, Draft, EnvironmentSpec, PackageSet

__all__ = ["INVALID", "EnvironmentSpec", "PackageSet", "translate"]


def translate(spec: EnvironmentSpec) -> PackageSet:
    """An image gives the packages that code finds in it; a build context the base image's and those of its RUN lines. With a conda
    file, code runs in that conda environment, which does not see the image's packages. Raises ArmError(400, InvalidEnvironment)
    with the line or entry that has no counterpart as its target."""
    files = ContextFiles(spec.context_files)
    if spec.dockerfile is not None:
        base = read_build_context(spec.dockerfile, files)
    elif spec.image:
        base = image_packages(spec.image)
    else:
        base = PackageSet()
    if spec.conda_file is None or spec.conda_file == "":
        return base
    draft = Draft(PackageSet(env=base.env, options=base.options))
    if spec.image:
        draft.note(f"image {spec.image}: its system packages are not installed; the conda file decides the Python packages")
    read_conda_file(spec.conda_file, "condaFile", draft, files.read, files.local)
    return draft.freeze()
