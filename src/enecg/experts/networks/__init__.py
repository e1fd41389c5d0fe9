"""Networks of the experts, in torch. They are imported only when an expert is created."""
