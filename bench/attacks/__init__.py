"""The attack contract: one neutral declaration of an attack, carried out by every attack library that has it."""
