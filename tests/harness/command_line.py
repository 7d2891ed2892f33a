"""``ugtj`` in this process, with a local cloud."""

import json

import pytest
import typer

from cli import app as command_line


class Ugtj:
    """The command line, with the local cloud *cloud*."""

    def __init__(self, cloud, capsys):
        self.cloud = cloud
        self.capsys = capsys
        self.environment = {
            "DATA_DIR": str(cloud.data_dir),
            "PORT": str(cloud.port),
            "UGTJ_PROFILES": str(cloud.data_dir / "no-profiles.toml"),
        }

    def run(self, *arguments, **environment):
        """Return exit code, standard output and standard error of ``ugtj`` *arguments*."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (self.environment | environment).items():
                patch.setenv(name, value)
            self.capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                command_line.main(list(arguments))
            out, err = self.capsys.readouterr()
        return ended.value.code, out, err

    def json(self, *arguments, code=0, **environment):
        """Return the JSON that ``ugtj`` *arguments* ``--json`` prints."""
        ended, out, err = self.run(*arguments, "--json", **environment)
        assert ended == code, (arguments, out, err)
        return json.loads(out)


def commands(group=None, path=()):
    """Yield the words of each command, recursively, with its click command."""
    group = group or typer.main.get_command(command_line.app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


# "ugtj cloud" works on AWS, and is tested with moto's: tests/integration/test_cloud_check.py, …
ALL_COMMANDS = {" ".join(words): command for words, command in commands() if words[0] != "cloud"}


def finding(ugtj, check, **environment):
    """Return verdict and next step of a check of ``ugtj doctor``."""
    code, out, _ = ugtj.run("doctor", "--json", **environment)
    found = json.loads(out)
    assert code == (1 if found["problems"] else 0)
    [named] = [finding for finding in found["findings"] if finding["check"] == check]
    return named["verdict"], named["step"]
