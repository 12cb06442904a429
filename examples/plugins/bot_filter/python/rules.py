"""What makes a client look like a bot. Only data and one function; no gateway in here."""

KNOWN = ("curl", "python-requests", "scrapy", "headlesschrome", "sqlmap")
WELCOME = ("googlebot", "bingbot")
PROBES = ("/.env", "/wp-login.php", "/.git/")


def score(user_agent, path):
    """From 0, a person, to 100, certainly a bot."""
    agent = user_agent.lower()
    if any(path.startswith(probe) for probe in PROBES):
        return 100
    if any(name in agent for name in WELCOME):
        return 0
    if not agent:
        return 80
    return 60 if any(name in agent for name in KNOWN) else 0
