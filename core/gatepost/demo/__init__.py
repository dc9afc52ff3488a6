"""`gatepost demo`: a real PostgreSQL, gatepost in front of it and a real client, one step after the other."""
