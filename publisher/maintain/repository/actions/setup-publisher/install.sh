#!/usr/bin/env bash
# Installs the command `publisher` for the steps that follow. Usage: install.sh ROOT
#
# ROOT holds .github/requirements/: dependencies.txt, in which every package has its digests, and plugin-registry.txt,
# which names this project itself: a version, or `.` for the source tree at ROOT.
#
# It is a script of its own because the action that publishes plugins runs it too: a composite action can name another one
# beside it only by repository and commit.
set -euo pipefail

root=$(cd -- "${1:?usage: install.sh ROOT}" && pwd -P)
requirements=$root/.github/requirements

# -I: nothing is imported out of the folder in which the job stands, which may be anybody's.
if ! python3 -I -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "::error title=publisher needs Python 3.11::python3 is missing or older. Take a newer runner image, or a step with actions/setup-python before this one."
  exit 1
fi

# The name says what is installed: the requirements, the source tree if it is what is installed, and the Python.
key=$(python3 -I - "$root" <<'PYTHON'
import hashlib, pathlib, sys

root = pathlib.Path(sys.argv[1])
requirements = root / ".github" / "requirements"
files = sorted(requirements.glob("*.txt"))
if "." in (requirements / "plugin-registry.txt").read_text(encoding="utf-8").splitlines():
    files.append(root / "pyproject.toml")
    files += sorted(
        path
        for name in ("publisher", "registry_client")
        for path in (root / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
seen = hashlib.sha256(repr((sys.version, sys.prefix)).encode())
for path in files:
    data = path.read_bytes()
    seen.update(f"{path.relative_to(root).as_posix()} {len(data)}\n".encode() + data)
print(seen.hexdigest()[:24])
PYTHON
)

# A hosted runner is thrown away after the job. One's own is kept, and so is what was installed on it: whoever can change
# its tool cache can change everything else on it, too.
keep=${RUNNER_TEMP:?is set by the runner}
if [[ ${RUNNER_ENVIRONMENT:-} == self-hosted && -n ${RUNNER_TOOL_CACHE:-} ]]; then
  keep=$RUNNER_TOOL_CACHE
fi
mkdir -p -- "$keep/plugin-registry"
home=$(cd -- "$keep/plugin-registry" && pwd -P)/$key # scripts name it, so it must be the same by whatever path it is reached
if command -v flock >/dev/null; then # several runners may share a tool cache
  exec 9>"$home.lock"
  flock 9
fi

if [[ ! -e $home/complete ]]; then
  rm -rf -- "$home"
  python3 -I -m venv -- "$home/venv"
  pip=("$home/venv/bin/python" -I -m pip install --quiet --disable-pip-version-check --no-input)
  # Wheels only: nothing that is downloaded runs before its digest was compared, nor while it is installed.
  "${pip[@]}" --require-hashes --only-binary :all: --requirement "$requirements/dependencies.txt"
  # The build backend is among the dependencies, so that building the source tree downloads nothing.
  (cd -- "$root" && "${pip[@]}" --no-deps --no-build-isolation --requirement "$requirements/plugin-registry.txt")
  # Only these two go on the PATH: the job's own python stays what it was. And neither imports what the job's PYTHONPATH names.
  mkdir -- "$home/bin"
  for name in publisher plugin; do
    printf '#!/usr/bin/env bash\nexec %q -I %q "$@"\n' "$home/venv/bin/python" "$home/venv/bin/$name" >"$home/bin/$name"
    chmod +x -- "$home/bin/$name"
  done
  touch -- "$home/complete"
fi
echo "$home/bin" >>"${GITHUB_PATH:?is set by the runner}"
"$home/bin/publisher" --version
