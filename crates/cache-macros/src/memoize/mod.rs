//! `#[memoize]`.
//!
//! The function becomes `<name>_uncached`; what stands in its place asks the cache first. A cache of
//! its own is a static inside of `<name>_cache`, since an `impl` block can hold no static.

mod arguments;
mod companions;
mod duration;
mod key;
mod options;
mod output;
mod wrapper;

use proc_macro2::TokenStream;
use syn::{Error, ItemFn, Result};

use arguments::Arguments;
use key::Key;
use options::Options;
use output::Output;

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options: Options = syn::parse2(options)?;
    let function: ItemFn = syn::parse2(item)?;
    let memoized = Memoized::new(options, function)?;
    let parts = [wrapper::uncached(&memoized), wrapper::boxed(&memoized), wrapper::answering(&memoized)];
    Ok(parts.into_iter().chain(companions::all(&memoized)).collect())
}

/// A function with all that is known of it.
struct Memoized {
    options: Options,
    function: ItemFn,
    arguments: Arguments,
    output: Output,
    key: Key,
}

impl Memoized {
    fn new(options: Options, function: ItemFn) -> Result<Self> {
        let signature = &function.sig;
        if let Some(word) = &signature.constness {
            return Err(Error::new_spanned(word, "a const fn cannot be memoized: it may run where there is no cache"));
        }
        if let Some(abi) = &signature.abi {
            return Err(Error::new_spanned(abi, "a function with an ABI of its own cannot be memoized"));
        }
        let arguments = Arguments::new(signature, &options)?;
        let output = Output::new(signature)?;
        if options.map_err.is_some() && !output.fails() {
            return Err(Error::new_spanned(&options.map_err, "`map_err` is for a function that returns a `Result`"));
        }
        let key = Key::new(&options, &arguments, signature)?;
        if options.cache.is_none() {
            let of_type = [&key.of_type, &output.value];
            arguments::can_be_static(of_type, signature)?;
        }
        Ok(Self { options, function, arguments, output, key })
    }

    fn is_async(&self) -> bool {
        self.function.sig.asyncness.is_some()
    }
}
