"""The bitstream: latents to strings, strings to packets, packets to bytes."""
