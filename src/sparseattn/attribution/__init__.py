"""What the output owes each token or hidden state."""
