"""SemDeDup over a pool on disk: resumable stages in a run directory.

    embed -> kmeans -> assign -> score -> recall -> result

Each stage reads what the one before it stored, does only the units that are not done yet, and
stores them atomically; see `tamis.run.directory`.
"""

from tamis.filters.semdedup.job.recipe import Recipe
from tamis.filters.semdedup.job.run import Outline, outline, run_job

__all__ = ["Outline", "Recipe", "outline", "run_job"]
