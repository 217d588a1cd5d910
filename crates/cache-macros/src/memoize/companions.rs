//! What stands beside a memoized function.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};

use super::Memoized;
use super::arguments::mentions;
use super::wrapper::{asking, cache_of, companion, conditions};

pub(super) fn all(memoized: &Memoized) -> Vec<TokenStream> {
    let mut all = vec![refresh(memoized), invalidate(memoized)];
    if memoized.options.cache.is_none() {
        all.push(cache(memoized));
    }
    all
}

fn refresh(memoized: &Memoized) -> TokenStream {
    let doc = format!(
        "Runs `{}` now and caches what it returns. Until then the cached value is served, and it stays if this fails.",
        memoized.function.sig.ident
    );
    let how = if memoized.is_async() { "refresh" } else { "refresh_blocking" };
    companion_of(memoized, &doc, &asking(memoized, &companion(memoized, "refresh"), how))
}

fn invalidate(memoized: &Memoized) -> TokenStream {
    let doc = format!(
        "Forgets what `{}` returned for these arguments, and tells whether there was a value. A load that began before is \
         not cached.",
        memoized.function.sig.ident
    );
    let (function, options, arguments) = (&memoized.function, &memoized.options, &memoized.arguments);
    let krate = options.krate();
    let make_key = &memoized.key.make;
    let uses = options.cache.as_ref().map(ToTokens::to_token_stream).into_iter().chain([make_key.clone()]);
    let uses: TokenStream = uses.collect();
    let generic = function.sig.generics.type_params().next().is_some();
    // With type parameters all are taken, or the caller would have to name those that none shows.
    let used = |name: &Ident| generic || mentions(&uses, &name.to_string());
    let receiver = (arguments.receiver.is_some() && mentions(&uses, "self")).then(|| quote!(&self,));
    let declared = arguments.declared(|argument| used(&argument.name));
    let unused = arguments.all.iter().map(|argument| &argument.name);
    let unused = generic.then(|| quote!(#(let _ = &#unused;)*));
    let (parameters, _, bounds) = function.sig.generics.split_for_impl();
    let (key, cache) = (Ident::new("key", Span::mixed_site()), Ident::new("cache", Span::mixed_site()));
    let (visible, name, of_cache) = (&function.vis, companion(memoized, "invalidate"), cache_of(memoized));
    let body = quote! {
        #[allow(clippy::needless_pass_by_value, clippy::redundant_clone, reason = "it takes what the function takes")]
        #visible fn #name #parameters (#receiver #(#declared),*) -> bool #bounds {
            let #cache: &#krate::Cache<_, _> = #of_cache;
            let #key = #make_key;
            #unused
            ::core::option::Option::is_some(&#cache.remove(&#key))
        }
    };
    companion_of(memoized, &doc, &body)
}

fn cache(memoized: &Memoized) -> TokenStream {
    let doc = format!("Returns the cache of `{}`.", memoized.function.sig.ident);
    let (function, options) = (&memoized.function, &memoized.options);
    let (krate, visible, name) = (options.krate(), &function.vis, companion(memoized, "cache"));
    let (key, value) = (&memoized.key.of_type, &memoized.output.value);
    let build = options.build(&function.sig.ident, key, value);
    let body = quote! {
        #[must_use]
        #visible fn #name() -> &'static #krate::Cache<#key, #value> {
            static CACHE: ::std::sync::LazyLock<#krate::Cache<#key, #value>> = ::std::sync::LazyLock::new(|| #build);
            &CACHE
        }
    };
    companion_of(memoized, &doc, &body)
}

fn companion_of(memoized: &Memoized, doc: &str, body: &TokenStream) -> TokenStream {
    let conditions = conditions(memoized);
    quote! {
        #(#conditions)*
        #[doc = #doc]
        #[allow(dead_code, reason = "a companion of a memoized function need not be used")]
        #body
    }
}
