#![doc = include_str!("../README.md")]

mod weigh;

use proc_macro::TokenStream;

/// Derives `Weigh` for a struct or an enum: the sum over its fields.
///
/// Each field must be `Weigh`, type parameters included. Of a field with `#[weigh(skip)]` only what
/// it takes inline counts, which is right for what the entry does not own alone, such as a handle
/// of a pool. `#[weigh(with = path)]` asks a function `fn(&Field) -> u64` for the bytes that the
/// field owns on the heap, for types of other crates. A union cannot be weighed: nothing says which
/// of its fields holds.
///
/// # Examples
///
/// ```text
/// #[derive(Weigh)]
/// struct Page { title: String, body: Vec<u8>, #[weigh(skip)] site: Arc<Site> }
/// ```
#[proc_macro_derive(Weigh, attributes(weigh))]
pub fn weigh(item: TokenStream) -> TokenStream {
    weigh::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
