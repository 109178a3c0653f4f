"""The attack contract: one neutral declaration of an attack, carried out by Foolbox and by ART."""
