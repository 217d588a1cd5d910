use bedplate_observability::ErrorType;

#[derive(ErrorType)]
union Bits {
    a: u32,
    b: f32,
}

#[derive(ErrorType)]
enum Pay {
    #[error_type("")]
    Declined,
}

fn main() {}
