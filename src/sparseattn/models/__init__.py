"""Token ids become attention, hidden states and a logit."""
