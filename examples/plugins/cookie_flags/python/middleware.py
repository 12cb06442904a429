"""Cookies on their way down: all of them get the flags that browsers should honour, and
those that were meant for developers stay behind."""

from tyk.decorators import Hook

FLAGS = ("Secure", "HttpOnly", "SameSite=Lax")


def hardened(cookie):
    present = [part.strip().partition("=")[0].lower() for part in cookie.split(";")[1:]]
    missing = [flag for flag in FLAGS if flag.partition("=")[0].lower() not in present]
    return "; ".join([cookie] + missing)


@Hook
def HardenCookies(request, response, session, metadata, spec):
    for header in response.multivalue_headers:
        if header.key == "Set-Cookie":
            kept = [value for value in header.values if not value.startswith("debug_")]
            del header.values[:]
            header.values.extend(hardened(value) for value in kept)
    return response
