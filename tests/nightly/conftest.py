"""These tests take minutes: they are collected in the nightly profile only."""

import os

collect_ignore_glob = []
if os.environ.get("SKNET_TESTS_PROFILE") != "nightly":
    collect_ignore_glob.append("test_*.py")
