"""systemd units for a board: a self-test at every start, and a folder whose images are classified.

Nothing stays in memory: systemd watches the folder and starts the program of the current version.
"""

SELF_TEST, INBOX, WATCH = (
    "edgeglyph-selftest.service",
    "edgeglyph-inbox.service",
    "edgeglyph-inbox.path",
)


def units(folder: str, user: str) -> dict[str, str]:
    """Text of each unit by its name, for versions in ``folder``, run as ``user``."""
    current = f"{folder}/current"
    return {
        SELF_TEST: f"""[Unit]
Description=EdgeGlyph: self-test of the classifier in use
ConditionPathExists={current}/edge_classify

[Service]
Type=oneshot
RemainAfterExit=yes
User={user}
ExecStart={current}/edge_classify --bundle {current}/classifier.egb --self-test

[Install]
WantedBy=multi-user.target
""",
        INBOX: f"""[Unit]
Description=EdgeGlyph: classify the images in {folder}/inbox
After={SELF_TEST}

[Service]
Type=oneshot
User={user}
ExecStart={current}/classify_inbox.sh {folder}

[Install]
WantedBy=multi-user.target
""",
        WATCH: f"""[Unit]
Description=EdgeGlyph: wait for images in {folder}/inbox

[Path]
PathChanged={folder}/inbox

[Install]
WantedBy=multi-user.target
""",
    }
