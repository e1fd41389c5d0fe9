"""The protocol of EnECG (arXiv 2511.22935): recipes side by side, with what each costs."""
