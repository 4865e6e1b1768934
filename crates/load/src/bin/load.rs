//! The load driver: see the library.

fn main() -> std::process::ExitCode {
    load::main()
}
