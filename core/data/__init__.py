"""Photographs in, a data set out: find, decode, resize, split, store, read.

``prepare`` writes a data set, or a part of one, ``merge`` joins the parts, ``Dataset.open`` reads it, and
``read_photograph`` reads a new photograph the same way.
"""

from handgrad.data.dataset import Dataset, Examples
from handgrad.data.features import Features
from handgrad.data.merge import merge
from handgrad.data.photograph import read_photograph
from handgrad.data.prepare import prepare
from handgrad.data.summary import Summary

__all__ = ["Dataset", "Examples", "Features", "Summary", "merge", "prepare", "read_photograph"]
