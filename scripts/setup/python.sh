# shellcheck shell=bash
# Sourced. Finds a Python that can do the set-up: 3.11 or newer (as in Debian 12) with pip's installer and venv.

# Prints the interpreter's path; fails where there is none.
find_python() {
    local python
    for python in "$(command -v python3 || true)" /usr/bin/python3; do
        if [[ -n $python ]] && "$python" -c '
import ensurepip, sys, venv
sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}
