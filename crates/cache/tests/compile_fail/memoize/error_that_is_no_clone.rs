use bedplate_cache::memoize;

#[memoize]
fn read(name: &str) -> std::io::Result<String> {
    std::fs::read_to_string(name)
}

fn main() {}
