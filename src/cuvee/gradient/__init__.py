"""Gradients of single examples: of the text probe, of labelled probes, of any PyTorch module; products, projections."""
