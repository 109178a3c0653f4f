"""The attack contract: one neutral declaration of an attack, carried out by every library that has it."""
