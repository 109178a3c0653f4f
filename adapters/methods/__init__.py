"""How a network is adapted: in full, its head, by a peft method, by filter atoms, or by a folder of peft."""
