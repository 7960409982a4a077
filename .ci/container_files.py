"""Whether docker-compose.yml and Dockerfile can be read; Docker itself is not needed."""

import re
import sys

INSTRUCTIONS = {
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "SHELL",
    "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}


def compose(path):
    text = open(path, encoding="utf-8").read()
    try:
        import yaml
    except ImportError:
        if "\t" in text or not re.search(r"^services:$", text, re.M):
            sys.exit(f"{path}: a tab, or no services")
        return print(f"{path}: looks well (no YAML parser here)")
    document = yaml.safe_load(text)
    services = document["services"]
    for name, service in services.items():
        if "image" not in service and "build" not in service:
            sys.exit(f"{path}: service {name} has neither image nor build")
        for needed in service.get("depends_on", []):
            if needed not in services:
                sys.exit(f"{path}: service {name} depends on {needed}, which is not there")
    print(f"{path}: {', '.join(services)}")


def dockerfile(path):
    text = open(path, encoding="utf-8").read().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    words = [line.split()[0].upper() for line in lines]
    unknown = [word for word in words if word not in INSTRUCTIONS]
    if unknown or "FROM" not in words:
        sys.exit(f"{path}: {unknown or 'no FROM'}")
    print(f"{path}: {len(words)} instructions")


compose(sys.argv[1])
dockerfile(sys.argv[2])
