"""What every verb on slides shares: what to analyse, the pipeline from tiles to the encoder's answers, object ids."""
