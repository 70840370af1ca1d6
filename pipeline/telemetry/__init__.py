"""What a process tells the operator's tools of single runs: traces."""
