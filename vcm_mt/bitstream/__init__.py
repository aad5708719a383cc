"""What is sent: latents to strings, strings to packets, packets to bytes."""
