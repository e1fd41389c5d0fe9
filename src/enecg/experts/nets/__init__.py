"""Networks of the experts, in torch; imported only when one is made."""
