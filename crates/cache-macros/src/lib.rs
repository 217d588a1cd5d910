#![doc = include_str!("../README.md")]

mod memoize;
mod weigh;

use proc_macro::TokenStream;

/// Caches what a function returns, by its arguments; sync or async.
///
/// The function keeps its name, its arguments and its return type. All who call it for the same key
/// meanwhile share one run, and what was said of `Cache::get_or_load` holds: an async function runs
/// on its own once it was begun, so a caller that gives up harms nobody.
///
/// # What is cached
///
/// | returns | cached |
/// |---|---|
/// | `T` | the value |
/// | `Option<T>` | the value; `None` for `negative_ttl`, else not at all |
/// | `Result<T, E>` | the value; never the error |
/// | `Result<Option<T>, E>` | the value; `None` for `negative_ttl`, else not at all; never the error |
///
/// This goes by how the return type is written: its last word is `Result` or `Option`, and what is
/// in the brackets is the value. The value must be `Clone + Weigh + Send + Sync`, so wrap what is
/// large in `Arc`.
///
/// # What is the key
///
/// All arguments, cloned; those that are borrowed by `to_owned`. Each must be `Clone + Hash + Eq +
/// Weigh + Send + Sync`. A method needs `key` or `skip(self)`, since nothing else says whether two
/// receivers have the same answers, and so does a function whose arguments are generic.
///
/// For the load, an async function's arguments are moved, or cloned where they are references
/// (`&self` too), once per load and not per call.
///
/// # Options
///
/// | option | |
/// |---|---|
/// | `key = "(id, page)"` | what tells calls apart; names of arguments are cloned |
/// | `key_type = "u64"` | the type of `key`, where it is no argument, tuple of such, `format!`, `to_string()` or cast |
/// | `skip(pool, self)` | all arguments but these are the key |
/// | `ttl = "60s"` | how long a value is fresh; default for ever |
/// | `stale = "5m"` | for how much longer it is served while one load refreshes it |
/// | `stale_if_error = "1h"` | for how much longer it is served if the function fails |
/// | `eager_refresh = 0.8` | from which share of `ttl` on a call refreshes it in the background |
/// | `negative_ttl = "10s"` | how long `None` is remembered |
/// | `soft_timeout = "150ms"` | after which wait a stale value is given |
/// | `hard_timeout = "2s"` | after which wait a caller is given an error; needs `map_err` |
/// | `map_err = "path"` | makes the function's error of a `LoadError<E>`; default clones it |
/// | `tags = ["catalog", format!("product:{id}")]` | by which to invalidate; may use the arguments |
/// | `max_bytes = 8 << 20` | what the function's own cache may weigh; default 64 MiB |
/// | `capacity = 1000` | how many entries it holds instead, of whatever size; they need not be `Weigh` |
/// | `name = "products"` | its name; default the function's path |
/// | `cache = "PRODUCTS"` | the cache to use instead: an expression, such as a `LazyLock`, `products()` or `self.cache` |
/// | `in_impl` | says that a function without a receiver stands in an `impl` block, if it does not name `Self` |
/// | `crate = "path"` | where `bedplate_cache` is re-exported |
///
/// Expressions, paths and types stand in quotes or without. Durations are checked when the function is compiled.
///
/// # Companions
///
/// With the function's visibility: `<name>_uncached(…)` runs the function itself;
/// `<name>_refresh(…)` runs it and caches what it returns, keeping the old value if it fails;
/// `<name>_invalidate(…)` takes the arguments that the key is made of and tells whether there was a
/// value; `<name>_cache()` is the handle, for `stats()`, `invalidate_tag`, `clear`.
///
/// # Errors and panics
///
/// An error is given to every caller of one run, so `E` must be `Clone`; `map_err` makes one of the
/// shared error otherwise. It is a function of `LoadError<E>`, and also told of panics and timeouts.
/// Without it a panic of the function is one of each of its callers, and `hard_timeout` does not
/// hold, be it a setting of the `cache`: a function that has no word for it waits.
///
/// A function may call itself. For the key that it is just called for it runs as if it were not
/// memoized, which is right where the key is less than the arguments, and the endless recursion it
/// always was where it is not. An async function that is called outside of a tokio runtime runs
/// uncached.
///
/// # Limits
///
/// No trait methods (companions have no place there), no `&mut` and no `async` argument types with
/// lifetimes inside. The attributes of the function go to its body, but `doc`, `must_use`,
/// `deprecated`; `cfg` and lints go to all parts. A sync function blocks its thread while another one loads, and
/// each level of its recursion takes the stack of a load: 2 MiB hold some 2 000 levels, and 500 in a debug build.
///
/// # Examples
///
/// ```text
/// #[memoize(ttl = "60s", stale = "5m", negative_ttl = "10s", key = "id", tags = ["catalog", format!("product:{id}")])]
/// async fn product(pool: &Pool, id: u64) -> Result<Option<Arc<Product>>, DbError> { … }
///
/// product(&pool, 7).await?;
/// product_invalidate(7);
/// product_cache().invalidate_tag("catalog");
/// ```
#[proc_macro_attribute]
pub fn memoize(options: TokenStream, item: TokenStream) -> TokenStream {
    memoize::expand(options.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

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
