"""What the pages share on which others sign: the acts, and a request as it stands."""
