"""Which files of a folder the gateway loads, and which hook its manifest makes of a function."""

import json
import os


def manifest(root):
    """The content of `manifest.json`, or `None` where there is none."""
    path = os.path.join(root, "manifest.json")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    if not isinstance(content, dict):
        raise ValueError("%s is not an object" % path)
    for name in content.get("file_list") or []:
        if not os.path.isfile(os.path.join(root, name)):
            raise FileNotFoundError("%s lists %r, which is not there" % (path, name))
    return content


def entry_files(root, content):
    """The files whose functions count: the entry of a bundle, or all of a folder."""
    if content is None:
        return sorted(name for name in os.listdir(root) if name.endswith(".py"))
    listed = content.get("file_list") or []
    files = [name for name in listed if name.endswith(".py")]
    if not files:
        raise ValueError("bundle %s has no Python file; its files are: %s" % (root, listed))
    if len(listed) > 1 and "middleware.py" in files:
        return ["middleware.py"]
    return files


def hook_type(content, name):
    """The hook that a manifest makes of a function; `None` where it does not name it."""
    hooks = (content or {}).get("custom_middleware") or {}
    for kind in ("pre", "auth_check", "post_key_auth", "post", "response"):
        entries = hooks.get(kind) or []
        for entry in [entries] if isinstance(entries, dict) else entries:
            if entry.get("name") == name:
                return kind
    return None
