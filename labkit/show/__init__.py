"""Figures, tables, contact sheets and source listings for chapters."""
