use super::*;

#[test]
fn a_connection_id_is_recognised_and_an_invented_one_is_not() {
    let ids = GroupSecret::new([7; 32]).connection_ids();
    let key = ids.make(Node(3), [1, 2, 3, 4, 5]);
    assert_eq!(key.node(), Node(3));
    assert_eq!(ids.check(&key.0), Some(key));
    let mut recognised = 0;
    for bit in 0..64 {
        let mut other = key.0;
        other[bit / 8] ^= 1 << (bit % 8);
        recognised += usize::from(ids.check(&other).is_some());
    }
    assert_eq!(recognised, 0);
    assert_eq!(ids.check(&key.0[..7]), None);
    assert_eq!(ids.check(&[]), None);
    let others = GroupSecret::new([8; 32]).connection_ids();
    assert_eq!(others.check(&key.0), None);
}

#[test]
fn an_address_has_one_name_in_both_of_its_forms() {
    let addresses = GroupSecret::new([7; 32]).addresses();
    let name = |text: &str| addresses.name(text.parse().unwrap());
    assert_eq!(name("192.0.2.1:5684"), name("[::ffff:192.0.2.1]:5684"));
    assert_ne!(name("192.0.2.1:5684"), name("192.0.2.1:5685"));
    assert_ne!(name("192.0.2.1:5684"), name("192.0.2.2:5684"));
}

#[test]
fn no_secret_is_shown() {
    let secret = GroupSecret::new([0x5a; 32]);
    let shown = format!(
        "{secret:?} {:?} {:?}",
        secret.connection_ids(),
        secret.addresses()
    );
    assert_eq!(shown, "GroupSecret(…) ConnectionIds(…) Addresses(…)");
}
