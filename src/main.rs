//! The process: everything it does is a command of [`coaps_gateway::cli`].

fn main() -> std::process::ExitCode {
    coaps_gateway::cli::main()
}
