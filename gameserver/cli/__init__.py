"""The command `gameserver`. `main` puts the commands together; each has a module of its own."""
