"""The network: backbones, ASPP, decoder, heads, and their layers."""
