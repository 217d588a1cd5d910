//! `#[derive(Weigh)]`.

use std::sync::Arc;

use bedplate_cache::{Cache, Weigh};

#[derive(Weigh)]
struct Page {
    title: String,
    body: Vec<u8>,
    views: u64,
    #[weigh(skip)]
    _site: Arc<String>,
}

#[derive(Weigh)]
struct Pair<A, B: Clone>(A, B);

#[derive(Weigh)]
struct Flat {
    x: u32,
    y: [u8; 4],
}

#[derive(Weigh)]
struct Unit;

#[derive(Weigh)]
enum Message<T> {
    Empty,
    Text { text: String, at: u64 },
    Many(Vec<T>, #[weigh(with = path_bytes)] std::path::PathBuf),
}

#[derive(Weigh)]
enum Never {}

fn path_bytes(path: &std::path::PathBuf) -> u64 {
    path.capacity().try_into().unwrap_or(u64::MAX)
}

#[test]
fn a_struct_weighs_what_its_fields_own() {
    let page = Page { title: "abc".into(), body: vec![0; 100], views: 7, _site: Arc::new("site".into()) };
    assert_eq!((page.heap_bytes(), page.views), (103, 7));
    assert_eq!(Pair(vec![0u16; 8], "ab".to_owned()).heap_bytes(), 18);
    assert_eq!(Unit.heap_bytes(), 0);
}

#[test]
fn an_enum_weighs_what_its_variant_owns() {
    let path = std::path::PathBuf::from("12345");
    let expected = 32 + path_bytes(&path);
    assert_eq!(Message::<u64>::Empty.heap_bytes(), 0);
    let text = Message::<u64>::Text { text: "abcd".into(), at: 1 };
    assert_eq!(text.heap_bytes(), 4);
    assert!(matches!(text, Message::Text { at: 1, .. }));
    assert_eq!(Message::Many(vec![0u64; 4], path).heap_bytes(), expected);
    let none: Vec<Never> = Vec::new();
    assert_eq!(none.heap_bytes(), 0);
}

#[test]
fn what_is_flat_is_known_to_be() {
    let flags = [Flat::FLAT, Unit::FLAT, Pair::<u8, u8>::FLAT, Page::FLAT, Message::<u8>::FLAT, Never::FLAT];
    assert_eq!(flags, [true, true, true, false, false, true]);
    let flat = Flat { x: 1, y: [0; 4] };
    assert_eq!((vec![flat.x], flat.y.len()), (vec![1], 4));
}

#[test]
fn a_cache_takes_a_derived_weight() {
    let empty: Cache<u64, Arc<Flat>> = Cache::builder("empty").build().unwrap();
    empty.insert(1, Arc::new(Flat { x: 1, y: [2; 4] }));
    let full: Cache<u64, Arc<Pair<Flat, Vec<u8>>>> = Cache::builder("full").build().unwrap();
    full.insert(1, Arc::new(Pair(Flat { x: 1, y: [2; 4] }, vec![0; 1000])));
    assert_eq!(full.bytes() - empty.bytes(), 1000 + 24);
}

#[test]
fn what_cannot_be_weighed_is_said_so() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
