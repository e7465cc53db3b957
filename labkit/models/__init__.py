"""Plain networks under the field's names; no training code."""
