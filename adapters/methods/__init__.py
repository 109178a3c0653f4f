"""How a network is adapted: in full, its head, by one of the methods of peft, by filter atoms, or by a folder of peft."""
