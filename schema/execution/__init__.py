"""How operations are parsed, validated, planned and executed."""
