"""Licences, sources and the number of packages, from `cargo tree` on stdin: what deny.toml says, in short.

Each line is `NAME vVERSION [(SOURCE)]|LICENCE`, as `--format "{p}|{l}"` writes it.
"""

import re
import sys

ALLOWED = {
    "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "ISC", "MIT", "MIT-0", "Unicode-3.0", "Unlicense", "Zlib",
}
BANNED = {"ring", "openssl", "openssl-sys", "native-tls"}
MOST = 350


def allowed(expression):
    """An SPDX expression holds if one side of each OR does, and both sides of each AND."""
    text = expression.replace("/", " OR ").replace("(", " ( ").replace(")", " ) ")
    text = re.sub(r"\s+WITH\s+", "_WITH_", text)
    words = []
    for word in text.split():
        if word in ("(", ")"):
            words.append(word)
        elif word in ("AND", "OR"):
            words.append(word.lower())
        else:
            words.append(str(word.replace("_WITH_", " WITH ") in ALLOWED))
    return eval(" ".join(words), {"__builtins__": {}})  # only True, False, and, or and brackets are left


def main():
    packages = {line.strip().removesuffix(" (*)") for line in sys.stdin if "|" in line}
    faults = []
    for package in sorted(packages):
        name, licence = package.split("|")
        own = name.startswith("postern ")
        source = re.sub(r" \(proc-macro\)$", "", name)
        if "(" in source and not own:
            faults.append(f"{name}: not from crates.io")
        if not allowed(licence):
            faults.append(f"{name}: licence {licence}")
        if name.split()[0] in BANNED:
            faults.append(f"{name}: banned, one TLS stack is enough")
    if not 0 < len(packages) < MOST:
        faults.append(f"{len(packages)} packages, at least 1 and at most {MOST - 1}")
    print("\n".join(faults) or f"{len(packages)} packages, all allowed")
    sys.exit(1 if faults else 0)


main()
