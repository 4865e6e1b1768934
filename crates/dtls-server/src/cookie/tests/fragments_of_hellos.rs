use super::*;

/// The end of what a cookie is bound to, in the hello of [`Hello::default`] with a cookie.
const BOUND: usize = 2 + 32 + 4 + 17 + 6 + 2;

fn first(cookies: &Cookies, now: Instant, hello: &Hello, end: usize) -> CookieReply {
    cookies.reply(now, b"a", &hello.fragment(0, end))
}

#[test]
fn a_hello_is_answered_by_its_first_fragment() {
    let now = start();
    let cookies = cookies(now);
    let hello = Hello::default();
    let without_cookie = BOUND - COOKIE_LENGTH;
    let CookieReply::Verify(reply) = first(&cookies, now, &hello, without_cookie) else {
        panic!("no HelloVerifyRequest");
    };
    let own = hello.returning(read(&reply).2.cookie);
    let length = own.body().len();
    let CookieReply::FirstFragment(mut fragmented) = first(&cookies, now, &own, BOUND) else {
        panic!("not verified");
    };
    let later = own.fragment(BOUND, length - 1);
    assert!(matches!(
        cookies.reply(now, b"a", &later),
        CookieReply::LaterFragment
    ));
    assert_eq!(fragmented.insert(&later), None);
    // What others send does no harm: another length, number or type, and other bytes in place of those that came.
    let longer = Hello {
        extensions: Some(vec![0, 35, 0, 0, 0, 23, 0, 0]),
        ..own.clone()
    };
    let other_number = Hello {
        message_seq: 5,
        ..own.clone()
    };
    let other_suites = Hello {
        suites: vec![0, 0, 0, 0],
        ..own.clone()
    };
    for other in [longer, other_number, other_suites] {
        assert_eq!(fragmented.insert(&other.fragment(0, BOUND)), None);
    }
    // A whole hello is not taken for the one whose cookie was valid, whatever it has in place of what came.
    let unchecked = Hello {
        cookie: vec![0; COOKIE_LENGTH],
        ..own.clone()
    };
    let CookieReply::FirstFragment(mut same) = first(&cookies, now, &own, BOUND) else {
        panic!("not verified");
    };
    for end in 1..BOUND {
        assert_eq!(same.insert(&unchecked.fragment(0, end)), None);
    }
    let verified = same.insert(&unchecked.datagram()).unwrap();
    assert_eq!(verified.message.body()[..BOUND], own.body()[..BOUND]);
    assert_eq!(fragmented.insert(b"nothing"), None);
    let verified = fragmented.insert(&own.fragment(BOUND - 3, length)).unwrap();
    assert_eq!(verified.message.body(), own.body());
    assert_eq!(verified.record_sequence, own.record_sequence);
}

#[test]
fn a_first_fragment_that_ends_too_early_is_not_answered() {
    let now = start();
    let cookies = cookies(now);
    let hello = Hello::default();
    for end in 1..BOUND - COOKIE_LENGTH {
        assert!(
            matches!(first(&cookies, now, &hello, end), CookieReply::Malformed),
            "{end}"
        );
    }
}

#[test]
fn a_hello_that_promises_too_much_is_not_kept() {
    let now = start();
    let cookies = cookies(now);
    let long = Hello {
        extensions: Some(vec![0; 5000]),
        ..Hello::default()
    };
    let own = long.returning(&issued(&cookies, now, b"a", &long));
    for end in [BOUND, own.body().len()] {
        assert!(matches!(
            first(&cookies, now, &own, end),
            CookieReply::Malformed
        ));
    }
    // One of the size of the largest is.
    let largest = Hello {
        extensions: Some(vec![0; 4096 - BOUND - 2]),
        ..Hello::default()
    };
    let own = largest.returning(&issued(&cookies, now, b"a", &largest));
    assert_eq!(own.body().len(), 4096);
    assert!(matches!(
        first(&cookies, now, &own, BOUND),
        CookieReply::FirstFragment(_)
    ));
    // A fragment that ends behind its message.
    let mut wrong = own.fragment(0, BOUND);
    wrong[16] = 1;
    wrong[15] = 0;
    wrong[14] = 0;
    assert!(matches!(
        cookies.reply(now, b"a", &wrong),
        CookieReply::Malformed
    ));
}
