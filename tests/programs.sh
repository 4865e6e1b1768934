# Checks for the programs that a tier of tests needs besides the Rust toolchain. The tier's script sources this file with
# its own list in `programs`, each as program:Debian-package, and calls `require_programs COMMAND ARGUMENTS…` with its own
# name and arguments.
# shellcheck shell=bash

programs=()

missing_programs() {
    local pair
    for pair in "${programs[@]}"; do
        case $pair in
            # Debian's Python does not include what `python3 -m venv` needs.
            python3-venv:*) python3 -c 'import venv, ensurepip' 2>/dev/null ;;
            # Any Go that takes the version in go.mod. Debian's may be older: then it has to come from go.dev.
            go-*:*) (cd tests/interop/pion && go list -m) >/dev/null 2>&1 ;;
            nginx-stream:*) [[ -e /usr/lib/nginx/modules/ngx_stream_module.so ]] ;;
            # A C library, by one of its headers.
            *.h:*) printf '#include <%s>\n' "${pair%%:*}" | "${CC:-cc}" -E - >/dev/null 2>&1 ;;
            *) command -v "${pair%%:*}" >/dev/null ;;
        esac || printf '%s\n' "$pair"
    done
}

# Installs these Debian packages. Programs that are still missing are named afterwards.
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

# Exits if a program is missing, and prints which, and the command that installs them all. With --install, installs them.
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
