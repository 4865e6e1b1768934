//! The pieces that `benches/run` needs: see `load::bench`.

fn main() -> std::process::ExitCode {
    load::bench::main()
}
