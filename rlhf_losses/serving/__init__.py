"""Serving of reward models over HTTP in the dialects of RL systems, and the client. FastAPI and httpx2 stay in here."""
