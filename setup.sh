# Sourced by ./run and ./test: setup FOLDER REQUIREMENTS makes FOLDER/.venv hold what is pinned.
# The stamp holds what was installed last, so that a second call does nothing.
setup() {
    stamp="$1/.venv/.installed-$2"
    wanted=$(cat "$1/requirements.txt" "$1/$2" "$1/pyproject.toml" | cksum)
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && return 0
    command -v python3 >/dev/null 2>&1 || { echo "leadsignal needs python3 (3.11 or newer): install it, e.g. apt-get install python3" >&2; exit 2; }
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "leadsignal needs Python 3.11 or newer; $(python3 --version) is too old: install a newer python3" >&2; exit 2; }
    if [ ! -x "$1/.venv/bin/python" ] || ! "$1/.venv/bin/python" -m pip --version >/dev/null 2>&1; then
        rm -rf "$1/.venv"
        python3 -m venv "$1/.venv" >/dev/null 2>&1 || python3 -m virtualenv -q "$1/.venv" >/dev/null 2>&1 || {
            rm -rf "$1/.venv"
            echo "python3 cannot make a virtual environment: install one of apt-get install python3-venv, or python3 -m pip install virtualenv" >&2
            exit 2
        }
    fi
    echo "setting up .venv (once, about a minute) …" >&2
    "$1/.venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$1/$2" >&2
    "$1/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable "$1" >&2
    printf '%s' "$wanted" > "$stamp"
}
