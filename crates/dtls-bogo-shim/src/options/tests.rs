use super::*;

fn plan(flags: &[&str]) -> Result<Plan, Failure> {
    match parse(flags.iter().map(|&flag| flag.to_owned()))? {
        Command::Run(plan) => Ok(*plan),
        Command::ReportNoHandshaker => panic!("a command"),
    }
}

#[test]
fn a_prefix_names_the_connection() {
    let plan = plan(&[
        "-port",
        "7",
        "-on-initial-mtu",
        "256",
        "-on-resume-expect-session-miss",
        "-on-shim-dtls",
    ])
    .unwrap();
    assert_eq!((plan.initial.port, plan.resumed.port), (7, 7));
    assert_eq!((plan.initial.mtu, plan.resumed.mtu), (Some(256), None));
    assert!(!plan.initial.expect_session_miss && plan.resumed.expect_session_miss);
    assert!(plan.initial.dtls && plan.resumed.dtls);
}

#[test]
fn what_is_not_known_is_not_implemented() {
    let unknown = plan(&["-dtls", "-quic"]);
    assert_eq!(unknown.err(), Some(Failure::unimplemented("-quic")));
    let of_another_program = plan(&["-on-handshaker-mtu", "256"]);
    assert!(matches!(
        of_another_program.err(),
        Some(Failure::Unimplemented(_))
    ));
    let malformed = plan(&["-mtu", "many"]);
    assert!(matches!(malformed.err(), Some(Failure::Failed(_))));
}

#[test]
fn versions_count_down() {
    let options = |flags: &[&str]| {
        let all = [&["-dtls", "-server"], flags].concat();
        plan(&all).unwrap().initial
    };
    let (v10, v12, v13) = ("65279", "65277", "65276");
    for served in [
        &[][..],
        &["-max-version", v12],
        &["-min-version", v10],
        &["-min-version", v12, "-max-version", v13],
    ] {
        assert_eq!(options(served).check(), Ok(()), "{served:?}");
    }
    for refused in [
        &["-max-version", v10][..],
        &["-min-version", v13],
        &["-no-tls12"],
        &["-expect-version", v13],
    ] {
        assert!(options(refused).check().is_err(), "{refused:?}");
    }
    assert!(options(&[]).allows_dtls13());
    assert!(!options(&["-max-version", v12]).allows_dtls13());
}
