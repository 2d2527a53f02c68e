"""DSO-NAS: prunes a completely connected network by sparse optimisation."""
