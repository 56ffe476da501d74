"""What a trained network is used for: predictions, scores, pictures."""
