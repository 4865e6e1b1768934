use super::*;
use bytes::Bytes;
use coap::Method;

const ROOM: usize = 1152;

fn get(query: &[&str], block2: Option<Block>) -> Request {
    let mut request = Request::new(Method::Get, Bytes::new());
    request.query = query.iter().map(|&part| part.to_owned()).collect();
    request.block2 = block2;
    request
}

fn read(query: &[&str], block2: Option<Block>) -> Result<(Download, Wanted), Response> {
    Download::read(&get(query, block2), Package::Firmware, ROOM)
}

fn piece(length: usize, more: bool) -> Piece {
    Piece {
        payload: Bytes::from(vec![7; length]),
        etag: [1, 2, 3, 4, 5, 6, 7, 8],
        more,
        size: Some(5000),
    }
}

#[test]
fn the_place_is_the_number_times_the_size() {
    for (num, szx, offset, length) in [(0, 6, 0, 1024), (5000, 2, 320_000, 64), (3, 0, 48, 16)] {
        let (_, wanted) = read(&[], Block::new(num, false, szx)).unwrap();
        assert_eq!((wanted.offset, wanted.length), (offset, length));
    }
    let (_, wanted) = read(&[], None).unwrap();
    assert_eq!((wanted.offset, wanted.length), (0, 1024));
}

#[test]
fn a_block_larger_than_a_message_becomes_the_first_of_smaller_ones_at_the_same_place() {
    let request = get(&[], Block::new(3, false, 6));
    let (download, wanted) = Download::read(&request, Package::Software, 300).unwrap();
    assert_eq!((wanted.offset, wanted.length), (3072, 128));
    let response = download.response(Ok(piece(128, true)));
    assert_eq!(response.block2, Block::new(24, true, 3));

    let request = get(&[], Block::new(0xf_ffff, false, 6));
    let refusal = Download::read(&request, Package::Software, 300).unwrap_err();
    assert_eq!(refusal.code, Code::BAD_REQUEST);
}

#[test]
fn title_version_size_and_chunk_are_thingsboards() {
    let (_, wanted) = read(&["title=pump", "version=1.2", "size=512", "chunk=7"], None).unwrap();
    assert_eq!(wanted.title.as_deref(), Some("pump"));
    assert_eq!(wanted.version.as_deref(), Some("1.2"));
    let cut = Cut {
        size: 512,
        chunk: 7,
    };
    assert_eq!(wanted.cut, Some(cut));

    let (_, wanted) = read(&["title=", "size=0", "chunk=9"], None).unwrap();
    assert_eq!(
        (wanted.title, wanted.version, wanted.cut),
        (None, None, None)
    );

    for query in [
        "size=x",
        "size=-1",
        "chunk=2147483648",
        "chunk=1.5",
        "size=+",
    ] {
        let refusal = read(&[query], None).unwrap_err();
        assert_eq!(refusal.code, Code::BAD_REQUEST, "{query}");
        let name = query.split('=').next().unwrap();
        assert!(String::from_utf8_lossy(&refusal.payload).contains(name));
    }
}

#[test]
fn only_octets_are_served() {
    let mut request = get(&[], None);
    request.accept = Some(50);
    let refusal = Download::read(&request, Package::Firmware, ROOM).unwrap_err();
    assert_eq!(refusal.code, Code::NOT_ACCEPTABLE);
    request.accept = Some(OCTET_STREAM);
    assert!(Download::read(&request, Package::Firmware, ROOM).is_ok());
}

#[test]
fn a_response_says_which_block_it_is_and_of_which_package() {
    let (download, _) = read(&[], None).unwrap();
    let whole = download.response(Ok(piece(100, false)));
    assert_eq!(
        whole.block2, None,
        "it is complete, and nobody asked for blocks"
    );
    assert_eq!(whole.etag, ETag::new(&[1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!(
        (whole.content_format, whole.size2),
        (Some(OCTET_STREAM), None)
    );

    let first = download.response(Ok(piece(1024, true)));
    assert_eq!(first.block2, Block::new(0, true, 6));

    let mut request = get(&[], Block::new(0, false, 6));
    request.size2_wanted = true;
    let (download, _) = Download::read(&request, Package::Firmware, ROOM).unwrap();
    let whole = download.response(Ok(piece(100, false)));
    assert_eq!(whole.block2, Block::new(0, false, 6));
    assert_eq!(whole.size2, Some(5000));
}

#[test]
fn each_refusal_has_its_code() {
    let (download, _) = read(&[], None).unwrap();
    for (refusal, code) in [
        (Refusal::NotAssigned, Code::NOT_FOUND),
        (Refusal::OtherPackage, Code::BAD_REQUEST),
        (Refusal::PastTheEnd, Code::BAD_REQUEST),
        (Refusal::Unauthorized, Code::UNAUTHORIZED),
        (Refusal::Forbidden, Code::FORBIDDEN),
        (Refusal::Unavailable, Code::SERVICE_UNAVAILABLE),
        (Refusal::Nonsense, Code::BAD_GATEWAY),
    ] {
        let response = download.response(Err(refusal));
        assert_eq!(response.code, code, "{refusal:?}");
        assert!(!response.payload.is_empty() && response.block2.is_none());
        let retry = (refusal == Refusal::Unavailable).then_some(RETRY_AFTER);
        assert_eq!(response.max_age, retry);
    }
}
