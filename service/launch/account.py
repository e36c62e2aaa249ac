"""Which account the embedded Postgres runs as: it refuses to be root.

An ordinary user's runs as that user. Root's is started through setpriv and runs as whoever owns the data
already, else the checkout, else as nobody, who is given data that is root's, as a restored backup is. A checkout
below /root can't be entered by such an account: Postgres then gets the capability to search directories and read
files, and no other.
"""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from service.launch.errors import LaunchError

CHECKOUT = Path(__file__).resolve().parents[2]
# Postgres looks for its own files with access(), which disregards capabilities unless no_setuid_fixup is set.
ENTER_ANYWHERE = (
    "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search",
    "--securebits=+no_setuid_fixup",
)
WAYS_OUT = "Run as an ordinary user, move the checkout, or set DATABASE_URL to a Postgres of your own."


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    uid: int
    gid: int
    prefix: tuple[str, ...] = ()  # what a command line has to begin with to run as this account

    def give(self, path: Path) -> None:
        """Make ``path`` this account's own and nobody else's."""
        if path.stat().st_uid != self.uid:
            os.chown(path, self.uid, self.gid)
        path.chmod(0o700)

    def give_all(self, folder: Path) -> None:
        """Make ``folder`` and all in it this account's own."""
        for parent, folders, files in os.walk(folder):
            for name in (".", *folders, *files):
                os.chown(Path(parent, name), self.uid, self.gid, follow_symlinks=False)


def choose(data_dir: Path, program: Path) -> Account:
    """Return an account that can run ``program`` on ``data_dir``, or raise LaunchError.

    The parent of ``data_dir`` has to exist. For root this runs ``program --version`` to find out.
    """
    owner = data_dir.stat().st_uid if data_dir.exists() else None
    if os.geteuid() != 0:
        if owner not in {None, os.geteuid()}:
            raise LaunchError(
                f"{data_dir} belongs to user id {owner}. Run as that user, or give it away: "
                f"sudo chown -R {os.geteuid()} {data_dir.parent}"
            )
        return Account(uid=os.geteuid(), gid=os.getegid())
    return _unprivileged(owner or CHECKOUT.stat().st_uid, data_dir.parent, program)


def _unprivileged(uid: int, var_dir: Path, program: Path) -> Account:
    if not shutil.which("setpriv"):
        raise LaunchError(f"Postgres refuses to run as root, and setpriv (util-linux) is missing. {WAYS_OUT}")
    user = _user(uid)
    ids = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
    for capabilities in ((), ENTER_ANYWHERE):
        prefix = ("setpriv", *ids, *capabilities, "--pdeathsig=INT", "--")
        account = Account(uid=user.pw_uid, gid=user.pw_gid, prefix=prefix)
        if _can_run(account, program, var_dir):
            return account
    raise LaunchError(
        f"Postgres refuses to run as root, and the account {user.pw_name} can't enter {var_dir} "
        f"or can't run {program}. {WAYS_OUT}"
    )


def _user(uid: int) -> pwd.struct_passwd:
    """Return the user of that id, or nobody for root and for ids without a name, which initdb refuses."""
    try:
        return pwd.getpwuid(uid) if uid else pwd.getpwnam("nobody")
    except KeyError:
        return pwd.getpwnam("nobody")


def _can_run(account: Account, program: Path, directory: Path) -> bool:
    attempt = 'cd "$0" && exec "$1" --version'
    command = [*account.prefix, "sh", "-c", attempt, str(directory), str(program)]
    # The only words that vary are paths, and none is put into the shell's text.
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
