//! The process: everything it does is a command of [`coaps_gateway::facade::cli`].

fn main() -> std::process::ExitCode {
    coaps_gateway::facade::cli::main()
}
