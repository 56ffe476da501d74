"""Losses over pixels: contrastive ones and cross entropy."""
