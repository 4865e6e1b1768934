# What a tier of tests needs beside the Rust toolchain. To be sourced, with the tier's own list in `programs`, as
# program:Debian-package; then `require_programs COMMAND ARGUMENTS…` with the command that was called and its arguments.
# shellcheck shell=bash

programs=()

missing_programs() {
    local pair
    for pair in "${programs[@]}"; do
        case $pair in
            # Debian's Python comes without what an environment is made with.
            python3-venv:*) python3 -c 'import venv, ensurepip' 2>/dev/null ;;
            *) command -v "${pair%%:*}" >/dev/null ;;
        esac || printf '%s\n' "$pair"
    done
}

# Installs these Debian packages. What fails is named afterwards, by program.
install_packages() {
    local as_root=()
    if ! command -v apt-get >/dev/null; then
        echo "There is no apt-get here: install these by hand." >&2
        return
    fi
    if [[ $(id -u) != 0 ]]; then
        if ! command -v sudo >/dev/null; then
            echo "Neither root nor sudo: let root run apt-get install $*" >&2
            return
        fi
        as_root=(sudo)
    fi
    printf '\n--> Installing %s\n' "$*"
    "${as_root[@]}" apt-get update -qq || true
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" || true
}

# Ends the script if a program is missing: says which, and the one command that installs them. With --install, it does.
require_programs() {
    local called=$1 absent packages toolchain=() pair
    shift
    if (($# > 1)) || [[ ${1:---install} != --install ]]; then
        echo "usage: $called [--install]" >&2
        exit 2
    fi
    command -v cargo >/dev/null || toolchain+=("cargo (a Rust toolchain: https://rustup.rs)")
    command -v "${CC:-cc}" >/dev/null || toolchain+=("${CC:-cc} (a C compiler: gcc and libc6-dev)")
    mapfile -t absent < <(missing_programs)
    if [[ ${1:-} == --install ]] && ((${#absent[@]})); then
        mapfile -t packages < <(printf '%s\n' "${absent[@]#*:}" | sort -u)
        install_packages "${packages[@]}"
        mapfile -t absent < <(missing_programs)
    fi
    if ((${#toolchain[@]} + ${#absent[@]} == 0)); then return; fi
    for pair in "${toolchain[@]}"; do echo "missing: $pair" >&2; done
    for pair in "${absent[@]}"; do echo "missing: ${pair%%:*} (Debian: ${pair#*:})" >&2; done
    echo "Nothing was run." >&2
    if ((${#absent[@]})) && [[ ${1:-} != --install ]]; then
        echo "This installs what the tests need, and runs them: $called --install" >&2
    fi
    exit 1
}
