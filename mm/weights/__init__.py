"""Weights that this project trained, each with a card of where it comes from (:func:`mm.load` finds them)."""
