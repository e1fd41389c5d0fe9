"""Heads: several kinds of small trained maps from one expert's embedding to the outputs of tasks."""

from __future__ import annotations
