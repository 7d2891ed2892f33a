"""Real-time events of accounts: the event log, WebSocket connections and the broadcaster."""
