"""Everything of Signoff that is not a screen: training, evidence, rules, the ledger, and the ways to reach them."""
